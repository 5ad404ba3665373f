"""The network, closed from inside: around everything that the qrun stage starts.

    __main__           the launcher: closes the network for itself and becomes the command
    layers             which layers this kernel has, and applying them
    landlock           no TCP, by the kernel's Landlock
    seccomp            no Internet sockets at all, by a system call filter
    notifications      the calls of which the filter notifies the supervisor
    syscalls           the kernel interfaces that Python has no functions for
    site/              no network calls in Python, reported with the place in the code
    report      one attempt, and the sentence about it
    watch       the supervisor's side: hears of attempts and has the run ended

Three layers, because none is everywhere. What each covers is in docs/decisions/0009.
"""
