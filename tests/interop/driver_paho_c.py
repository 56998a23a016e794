"""The Paho C client: translates commands for the C program whose path is the first argument."""

import json
import subprocess
import sys

program = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=sys.stdout, text=True)
assert program.stdin is not None
for line in sys.stdin:
    o = json.loads(line)
    name = o["do"]
    fields = [name]
    if name == "connect":
        will = o["will"] or {"topic": "", "payload": "", "qos": 0, "retain": False}
        fields += [f"ssl://{o['host']}:{o['port']}", o["id"], o["user"], o["password"], o["ca"]]
        fields += [str(o["version"]), str(int(o["clean"])), str(o["expiry"])]
        fields += [will["topic"], will["payload"], str(will["qos"]), str(int(will["retain"]))]
    elif name == "subscribe":
        fields += [o["filter"], str(o["qos"])]
    elif name == "publish":
        fields += [o["topic"], o["payload"], str(o["qos"]), str(int(o["retain"]))]
    program.stdin.write("\t".join(fields) + "\n")
    program.stdin.flush()
    if name == "disconnect":
        break
program.stdin.close()
program.wait()
