"""Run the command line: ``python -m licfsm``."""

from licfsm.cli.main import main

if __name__ == "__main__":
    main()
