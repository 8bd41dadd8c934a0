"""The whole system on one machine, with no container engine and no root.

Responsibility: start, watch and stop every part (`stack`), each a process of its own (`part`): the
three stores (`stores`), the gateway front with the functions behind it (`gateway`, `provider`,
`zygote`), and the connectors. What they print is kept (`output`) and shown (`journal`).

Flow: `make up` → `Layout` (ports, folders, what is external) → parts start in order, each only when
what it needs is healthy (`health`) → one readable log → SIGTERM stops them in reverse.

Invariants: a part that cannot start or that dies stops everything, and one line says which and why;
nothing is left running, even where this process is killed; data stays in the layout's folder.
"""
