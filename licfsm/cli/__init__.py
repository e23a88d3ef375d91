"""The command line: ``licfsm ...`` and ``python -m licfsm``."""
