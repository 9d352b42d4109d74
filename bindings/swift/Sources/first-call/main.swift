import Offhook
print(Library.version)
