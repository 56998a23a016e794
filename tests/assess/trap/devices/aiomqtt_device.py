"""A device on aiomqtt: connects once. Words: host, port, CA file, strict|careless|no-ca."""

import asyncio
import ssl
import sys

import aiomqtt

host, port, ca_file, _, setting = sys.argv[1:]


async def main() -> None:
    context = ssl.create_default_context(cafile=ca_file if setting != "no-ca" else None)
    if setting != "strict":
        context.check_hostname = False
    if setting == "no-ca":
        context.verify_mode = ssl.CERT_NONE
    async with aiomqtt.Client(
        host, int(port), username="plug", password="not-a-real-password", tls_context=context, timeout=2
    ) as client:
        await client.subscribe("devices/plug/cmd", qos=1)
        async for _ in client.messages:
            pass


asyncio.run(main())
