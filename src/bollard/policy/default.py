"""The policy that a new installation starts with, as its owner will read it. Text only."""

DEFAULT_POLICY = """\
# Who may do what. Everything that no rule here grants is denied.
#
# Save this file and the running broker takes it over; a mistake in it changes nothing, and is told.
# The order of the rules never matters: a deny wins over everything that grants.
# Look before you save: bollard policy check. Ask why: bollard why NAME publish TOPIC
#
# There are five rights, and none of them implies another:
#   publish     send messages to these topics
#   subscribe   receive messages from these topics: asked when subscribing, and again for each message
#   retain      leave the last message of a topic behind for later subscribers; needs publish as well
#   will        leave a message behind that the broker publishes when the connection is lost
#   share       take part in a shared group, $share/GROUP/..., by the group's name; needs subscribe as well
#
# Topics are written as MQTT topic filters: + is any one level, # at the end is everything below.
# A filter that somebody subscribes to must lie wholly within a single filter granted here.
# ${id} stands for the name of the identity, as given to `bollard enroll`. It fills a whole level.
# Topics that begin with $ must be granted by name, such as "$SYS/#": a wildcard never includes them.

version = 1

# What `bollard enroll NAME` gives a device: its own topics, and nobody else's.
[template.device]
publish = ["devices/${id}/#"]
subscribe = ["devices/${id}/#"]
retain = ["devices/${id}/#"]
will = ["devices/${id}/#"]

# What `bollard enroll NAME --as app` gives an application: it reads all devices and commands them.
[template.app]
subscribe = ["devices/#"]
publish = ["devices/+/cmd/#"]

# From here on, examples. Take away the # in front of a rule to use it.

# A group gives templates to its members, identities or patterns: "esp-*" is every identity that
# begins so, "*" is every identity. It does not matter whether one is enrolled yet.
# [template.monitor]
# subscribe = ["$SYS/#"]
#
# [group.operators]
# members = ["anna", "console-*"]
# apply = ["monitor"]

# Groups of a shared subscription, $share/GROUP/..., are open to whoever may subscribe, until the first
# template or grant here has share. From then on each group is for those who are granted it.
# [template.worker]
# subscribe = ["devices/+/data/#"]
# share = ["workers"]

# A preset is a ready-made template for well-known devices: bollard policy presets lists them. Give it to a
# group, or enroll devices with it: bollard enroll NAME --as tasmota
# [preset.tasmota]
# use = "tasmota"

# A grant gives rights to one identity, to a group ("group:operators"), or to all ("*").
# It may end by itself, and say what it was for. The command writes one for you:
#   bollard grant anna --publish 'devices/boiler/cmd/#' --for 4h --reason "annual service"
# [grant.boiler-service]
# who = "anna"
# publish = ["devices/boiler/cmd/#"]
# until = 2030-01-31T18:00:00Z
# reason = "annual service"

# A deny takes away, whatever else grants it. Who is excepted is not granted anything by that.
# Where a subscription is wider than what is denied, it is accepted without the denied part.
# To deny publishing is to deny wills there, too.
# [deny.firmware]
# who = "*"
# except = ["group:operators"]
# publish = ["devices/+/ota/#"]

# Clients without a name are the identity "anonymous", where a listener admits them at all. They may do
# nothing until a rule names "anonymous" itself: no pattern and no "*" includes them, except in a deny.
"""
