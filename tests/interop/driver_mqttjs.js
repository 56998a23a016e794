// MQTT.js, over TLS and over WebSocket inside TLS.
const fs = require('fs')
const readline = require('readline')
const mqtt = require('mqtt')

const tell = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
let client

const commands = {
  connect(o) {
    const scheme = o.transport === 'wss' ? 'wss' : 'mqtts'
    const options = {
      protocolVersion: o.version,
      clientId: o.id,
      clean: o.clean,
      username: o.user,
      password: o.password,
      ca: fs.readFileSync(o.ca),
      rejectUnauthorized: true,
      reconnectPeriod: 0,
      will: o.will ? { ...o.will, payload: Buffer.from(o.will.payload) } : undefined
    }
    if (o.version === 5) options.properties = { sessionExpiryInterval: o.expiry }
    const path = o.transport === 'wss' ? '/mqtt' : ''
    client = mqtt.connect(`${scheme}://${o.host}:${o.port}${path}`, options)
    client.on('message', (topic, payload, packet) =>
      tell('message', { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain }))
    client.once('connect', (connack) => tell('connected', { present: connack.sessionPresent }))
    client.on('error', (error) => tell('error', { text: String(error) }))
  },
  subscribe(o) {
    client.subscribe(o.filter, { qos: o.qos }, (error) =>
      error ? tell('error', { text: String(error) }) : tell('subscribed'))
  },
  publish(o) {
    client.publish(o.topic, o.payload, { qos: o.qos, retain: o.retain }, (error) =>
      error ? tell('error', { text: String(error) }) : tell('published'))
  },
  disconnect() {
    client.end(false, {}, () => { tell('disconnected'); process.exit(0) })
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line)
  commands[asked.do](asked)
})
