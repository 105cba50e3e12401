// C11 threads over POSIX threads, for programs under ThreadSanitizer. librdkafka is built on <threads.h>, which TSan of
// g++ 12 does not know: a thread that begins by thrd_create() is none to it, and crashes the program at its first
// intercepted call; a lock that is taken by mtx_lock() orders nothing. TSan does know what glibc makes these functions
// of, so each is written here once more, in the program itself, which the loader asks before libc.
#include <pthread.h>
#include <threads.h>

#include <cerrno>
#include <cstdint>
#include <ctime>

namespace {

// glibc's own layout: a C11 object is the POSIX one under another name.
static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t));
static_assert(sizeof(once_flag) >= sizeof(pthread_once_t));

pthread_mutex_t* posix(mtx_t* mutex) {
  return reinterpret_cast<pthread_mutex_t*>(mutex);
}
pthread_cond_t* posix(cnd_t* condition) {
  return reinterpret_cast<pthread_cond_t*>(condition);
}

int result(int error) {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}

struct beginning {
  thrd_start_t run;
  void* argument;
};

void* begin(void* what) {
  const auto here = *static_cast<beginning*>(what);
  delete static_cast<beginning*>(what);
  return reinterpret_cast<void*>(static_cast<intptr_t>(here.run(here.argument)));
}

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t run, void* argument) {
  auto* const what = new beginning{run, argument};
  const int error = pthread_create(thread, nullptr, &begin, what);
  if (error != 0) delete what;
  return error == EAGAIN ? thrd_nomem : result(error);
}

int thrd_join(thrd_t thread, int* code) {
  void* value = nullptr;
  const int error = pthread_join(thread, &value);
  if (error == 0 && code != nullptr) *code = static_cast<int>(reinterpret_cast<intptr_t>(value));
  return result(error);
}

int thrd_detach(thrd_t thread) {
  return result(pthread_detach(thread));
}

void thrd_exit(int code) {
  pthread_exit(reinterpret_cast<void*>(static_cast<intptr_t>(code)));
}

int mtx_init(mtx_t* mutex, int type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if ((type & mtx_recursive) != 0) pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  const int error = pthread_mutex_init(posix(mutex), &attributes);
  pthread_mutexattr_destroy(&attributes);
  return result(error);
}

void mtx_destroy(mtx_t* mutex) {
  pthread_mutex_destroy(posix(mutex));
}
int mtx_lock(mtx_t* mutex) {
  return result(pthread_mutex_lock(posix(mutex)));
}
int mtx_trylock(mtx_t* mutex) {
  return result(pthread_mutex_trylock(posix(mutex)));
}
int mtx_unlock(mtx_t* mutex) {
  return result(pthread_mutex_unlock(posix(mutex)));
}

int mtx_timedlock(mtx_t* __restrict mutex, const timespec* __restrict until) {
  return result(pthread_mutex_timedlock(posix(mutex), until));
}

int cnd_init(cnd_t* condition) {
  return result(pthread_cond_init(posix(condition), nullptr));
}
void cnd_destroy(cnd_t* condition) {
  pthread_cond_destroy(posix(condition));
}
int cnd_signal(cnd_t* condition) {
  return result(pthread_cond_signal(posix(condition)));
}
int cnd_broadcast(cnd_t* condition) {
  return result(pthread_cond_broadcast(posix(condition)));
}
int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return result(pthread_cond_wait(posix(condition), posix(mutex)));
}

int cnd_timedwait(cnd_t* __restrict condition, mtx_t* __restrict mutex, const timespec* __restrict until) {
  return result(pthread_cond_timedwait(posix(condition), posix(mutex), until));
}

void call_once(once_flag* flag, void (*run)(void)) {
  pthread_once(reinterpret_cast<pthread_once_t*>(flag), run);
}

}  // extern "C"

/// librdkafka counts the users of its buffers in atomics that TSan does not see, for the library is not compiled for
/// it: the last one's free() looks like a race with the reads of the others. What is lost is races between our
/// callbacks that librdkafka calls; those hold a mutex of ours or stay on one thread.
extern "C" const char* __tsan_default_suppressions() {
  return "race:librdkafka.so\n";
}
