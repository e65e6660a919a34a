"""The whole system in the memory of a test: no socket, no thread, and time that passes at once.

```python
from rtmsync.testing.memory import MemorySystem

with MemorySystem() as rtm:
    rtm.publisher().publish("orders", "paid", sender="shop")
    assert rtm.outbox[0].text == "paid"
```
"""

from rtmsync.testing.memory.clock import VirtualClock
from rtmsync.testing.memory.outbox import Sent
from rtmsync.testing.memory.system import MemorySystem

__all__ = ["MemorySystem", "Sent", "VirtualClock"]
