"""How long the client waits for what, in seconds.

Each is longer than the server takes for the same at its defaults: who gives up while the server
still works asks twice, and a refresh token whose answer is not awaited is spent.
"""

# The server takes 10 s for a handshake.
CONNECT = 15.0
# For one answer: the server ends a call after 40 s, 8 s of repetitions and 15 s a try among them.
ANSWER = 60.0
# And for the answer to a call of the session's own, while nothing at all comes.
SESSION_ANSWER = 50.0
# However slow the line is.
LONGEST_ANSWER = 300.0
LONGEST_SESSION_ANSWER = 120.0
# Until a ping: before the server's own, which comes after 20 s of silence.
SILENCE = 15.0
# The server gives 10 s for a pong.
PONG = 15.0
# The longest pause that a server may ask for (`retry_after`).
PAUSE = 300.0
