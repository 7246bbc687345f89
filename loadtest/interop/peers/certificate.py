"""A key on P-256 and its certificate, for stacks that make worse ones of their own (docs/interop.md)."""

import subprocess

COMMAND = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=klieg -keyout - -out -"


def make() -> str:
    """Returns both in PEM, the key first."""
    return subprocess.run(COMMAND.split(), capture_output=True, text=True, check=True).stdout
