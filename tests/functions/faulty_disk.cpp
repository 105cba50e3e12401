// Preloaded into the daemon: while the file that ROUSE_DISK_FAILS names is there, nothing reaches the disk.
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

extern "C" int fdatasync(int descriptor) {
  if (const char* file = std::getenv("ROUSE_DISK_FAILS"); file != nullptr && ::access(file, F_OK) == 0) {
    errno = EIO;
    return -1;
  }
  using call = int (*)(int);
  static const auto real = reinterpret_cast<call>(::dlsym(RTLD_NEXT, "fdatasync"));
  return real(descriptor);
}
