# _binding.pyi: the module that the build makes from offhook.h (see cdef.py). What is behind it is C, without types.
from typing import Any

ffi: Any
