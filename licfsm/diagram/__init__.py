"""Pictures and tables of the lifecycle, drawn from the machines that run it.

`graph` reads the machines into a small neutral value, `wording` says what stands on the arrows, `dot`,
`mermaid` and `markdown` write it down, and `artifacts` lists, writes and checks the files. Nothing in the
running engine imports this folder.
"""
