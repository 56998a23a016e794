"""What each stack does in each setting, written down before the trap runs. One letter for each of DEV-01 to 20.

"." pass, "F" fail, "-" void or not tested, "?" inconclusive. Where a library cannot be set otherwise, the letter
tells of the library: none checks revocation unless given a list (09), MQTT.js and Paho C read on after a packet of
type 0 (15), MQTT.js waits one second for ever (19), and a program that ends rather than connects again is void
there. SCRAM (14) and enhanced authentication (16) are Bollard's alone; 3.1.1 has no redirection (17).
"""

#:                        01..05 06..10 11..15 16..20
TRUTH = {
    ("paho", "strict"): "..... ...F. ...-. -...-",
    ("paho", "careless"): "..F.. ...F. ...-. -...-",
    ("paho", "reckless"): "FFFFF F.FFF FFF-. -.F.-",
    ("aiomqtt", "strict"): "..... ...F. ...-. --.--",
    ("aiomqtt", "no-ca"): "FFFFF F.FF. .F.-. --F--",
    ("mosquitto", "strict"): "..... ...F. ...-. -..--",
    ("mosquitto", "careless"): "..F.. ...F. ...-. -..--",
    ("paho_c", "strict"): "..... ...F. ...-F --.--",
    ("paho_c", "no-ca"): "FFFFF F.FF. .F.-F --F--",
    ("mqttjs", "strict"): "..... ...F. ...-F -..F-",
    ("mqttjs", "careless"): "FFFFF F.FF. .F.-F -.FF-",
    ("bollard", "plain"): "..... ..... ...-. -..--",
    ("bollard", "scram"): "..... ..... ..... ...--",
}
