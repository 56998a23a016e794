// MQTT.js behind the line protocol, over TLS or, by its URL, over WebSocket.
"use strict";
const fs = require("fs");
const readline = require("readline");
const mqtt = require("mqtt");

const env = process.env;
let client = null;

function say(...fields) {
  process.stdout.write(fields.join("\t") + "\n");
}

function connect(version, clientId, clean, willTopic) {
  const options = {
    protocolVersion: Number(version),
    clientId,
    clean: clean === "1",
    ca: fs.readFileSync(env.PEER_CA),
    username: env.PEER_USERNAME,
    password: env.PEER_PASSWORD,
    reconnectPeriod: 0,
  };
  if (version === "5") {
    options.properties = { sessionExpiryInterval: clean === "1" ? 0 : 3600 };
  }
  if (willTopic !== "-") {
    options.will = { topic: willTopic, payload: "gone", qos: 1, retain: false };
  }
  client = mqtt.connect(env.PEER_URL, options);
  client.on("connect", (connack) => say("connected", connack.sessionPresent ? 1 : 0));
  client.on("message", (topic, payload, packet) =>
    say("message", topic, payload.toString(), packet.qos, packet.retain ? 1 : 0));
  client.on("error", (error) => {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [command, ...rest] = line.split("\t");
  if (command === "connect") {
    connect(...rest);
  } else if (command === "subscribe") {
    client.subscribe(rest[0], { qos: Number(rest[1]) }, (error) => say(error ? `failed ${error}` : "subscribed"));
  } else if (command === "publish") {
    const options = { qos: Number(rest[2]), retain: rest[3] === "1" };
    client.publish(rest[0], rest[1], options, (error) => say(error ? `failed ${error}` : "published"));
  } else if (command === "disconnect") {
    client.end(false, () => say("disconnected"));
  }
}).on("close", () => process.exit(0));
