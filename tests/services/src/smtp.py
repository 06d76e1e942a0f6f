"""A mail server for tests: takes mails into a directory, or fails as the file `mode` says.

Arguments: port, directory. Modes: accept, refuse_later (4xx), refuse (5xx), hang, drop. The file is
read again for each mail. With `tls.pem` in the directory it offers STARTTLS, and takes nothing
without; with `tls_at_once` as well it speaks TLS from the first byte. With `password` there, it takes
nothing from who does not know it.
"""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

port, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])


class Mails:
    count = len(list(directory.glob("*.eml")))

    async def handle_DATA(self, server, session, envelope):
        mode = (directory / "mode").read_text().strip()
        with (directory / "attempts").open("a") as attempts:
            attempts.write(mode + "\n")
        if mode == "refuse_later":
            return "451 4.3.0 try again later"
        if mode == "refuse":
            return "550 5.1.1 no such mailbox"
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "drop":
            server.transport.abort()
            await asyncio.sleep(3600)
        Mails.count += 1
        unfinished = directory / f"{Mails.count:06}.new"
        unfinished.write_bytes(envelope.content)
        unfinished.rename(directory / f"{Mails.count:06}.eml")
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, login):
    expected = (directory / "password").read_bytes()
    right = isinstance(login, LoginPassword) and login.password == expected
    return AuthResult(success=right, handled=False)


tls, password = directory / "tls.pem", directory / "password"
at_once = (directory / "tls_at_once").exists()
context = None
if tls.exists():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls)


def start_session():
    return SMTP(
        Mails(),
        tls_context=None if at_once else context,
        require_starttls=context is not None and not at_once,
        authenticator=authenticate if password.exists() else None,
        auth_required=password.exists(),
        # It knows of the TLS that it begins itself only.
        auth_require_tls=not at_once,
        enable_SMTPUTF8=True,
    )


async def main():
    server = await asyncio.get_running_loop().create_server(
        start_session, "127.0.0.1", port, ssl=context if at_once else None
    )
    await server.serve_forever()


asyncio.run(main())
