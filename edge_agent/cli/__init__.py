"""The command line: parse, call, print. Every command's work is elsewhere."""

from __future__ import annotations

import sys

from edge_agent.errors import EdgeAgentError


def main() -> None:
    """Entry point of `edge-agent`: errors that a person can act on are one sentence, not a traceback."""
    from edge_agent.cli.app import app

    try:
        app()
    except EdgeAgentError as error:
        print(f"edge-agent: {error} [{error.code}]", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
