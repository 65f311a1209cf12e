"""The command line, one module for each subcommand.

A module has ``register(subparsers)``, which describes its arguments and imports nothing heavy, and
``handle(arguments) -> int``, which does the work.
"""
