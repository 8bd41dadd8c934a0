"""The whole system on one machine, with no container engine and no root.

Responsibility: start, watch and stop every part (`stack`), each a process of its own (`part`): the
three stores (`stores`), the gateway front with the functions behind it (`gateway`, `provider`,
`zygote`), and the connectors. What they print is kept (`output`) and shown (`journal`, `terminal`);
`commands` operates on what runs.

Flow: `make up` → `Layout` (ports, folders, what is external) → the `folder` is claimed → parts
start in order, each only when what it needs is healthy (`health`) → one readable log → SIGTERM
stops them in reverse.

Invariants: a part that cannot start at first stops everything, one that dies later is started again
(`keeper`) until it is given up, and a line says which and why; a full disk stops writing alone
(`room`); who prints is never held up; nothing is left running, even where this process is killed;
data stays in the layout's folder.
"""
