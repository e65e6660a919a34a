"""The seam between a node and its engine: commands in, answers and notices out, all values.

A node never touches shared state in any other way. No command assumes that its
answer comes at once: answers come as `Answer`, in order of issue per session and
in any order between sessions; a peer message is answered when its receiver has
acknowledged it, seconds later perhaps.

All of them are listed in `table`. Each other module has the commands of one matter,
the values that answer them, and the notices that follow from them.
"""
