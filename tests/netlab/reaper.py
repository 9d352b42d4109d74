"""reaper.py PREFIX: waits for the end of stdin, then removes all namespaces with that prefix and their processes.

It outlives the run that started it, so that nothing is left when that run is killed.
"""

import signal
import sys

import network

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
network.remove(sys.argv[1])
