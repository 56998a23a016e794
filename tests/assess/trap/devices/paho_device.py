"""A device on paho-mqtt: connects again for ever. Words: host, port, CA file, strict|careless|reckless."""

import ssl
import sys
import warnings

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

host, port, ca_file, plain_port, setting = sys.argv[1:]
client = mqtt.Client(CallbackAPIVersion.VERSION2, "plug", protocol=mqtt.MQTTv5)
client.username_pw_set("plug", "not-a-real-password")
if setting == "reckless":
    warnings.simplefilter("ignore")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:aNULL:eNULL:@SECLEVEL=0")
    client.tls_set_context(context)
elif setting == "no-ca":
    client.tls_set(cert_reqs=ssl.CERT_NONE)
else:
    client.tls_set(ca_file)
    if setting == "careless":
        client.tls_insecure_set(True)
client.on_connect = lambda *_: client.subscribe("devices/plug/cmd", 1)
client.reconnect_delay_set(1, 60)
try:
    client.connect(host, int(port))
except OSError:
    if setting != "reckless":
        raise
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "plug", protocol=mqtt.MQTTv5)
    client.username_pw_set("plug", "not-a-real-password")
    client.connect(host, int(plain_port))
client.loop_forever()
