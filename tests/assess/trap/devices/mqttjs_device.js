// A device on MQTT.js: connects again every second. Words: host, port, CA file, setting.
"use strict";
const fs = require("fs");
const mqtt = require("mqtt");

const [host, port, caFile, , setting] = process.argv.slice(2);
const client = mqtt.connect(`mqtts://${host}:${port}`, {
  protocolVersion: 5,
  clientId: "plug",
  username: "plug",
  password: "not-a-real-password",
  ca: setting === "no-ca" ? undefined : fs.readFileSync(caFile),
  rejectUnauthorized: setting === "strict",
  reconnectPeriod: 1000,
});
client.on("connect", () => client.subscribe("devices/plug/cmd", { qos: 1 }));
client.on("error", () => {});
