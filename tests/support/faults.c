// Loaded by LD_PRELOAD: counts the calls that change the file system below a folder, and
// makes one of them fail. `faults.py` builds it, and explains the modes and the journal.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum Mode { kOff, kFailOnce, kFull, kFrozen, kExit };

static char root[PATH_MAX];
static int mode = kOff, error_number, flock_error;
static long point, calls;
static int journal = -1;
static char graves[PATH_MAX / 2];
static long grave_count;
// Calls come from many threads; the order in the journal is that on the disk.
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static __thread int inside;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// Called by the test: from now on, the `n`-th call below `folder` fails.
void faults_arm(const char* folder, int how, int error, long n, const char* journal_path,
                const char* graves_path) {
  pthread_mutex_lock(&mutex);
  snprintf(root, sizeof(root), "%s", folder);
  snprintf(graves, sizeof(graves), "%s", graves_path);
  if (journal >= 0) close(journal);
  journal = *journal_path ? syscall(SYS_openat, AT_FDCWD, journal_path,
                                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                          : -1;
  error_number = error;
  point = n;
  calls = 0;
  mode = how;
  pthread_mutex_unlock(&mutex);
}

// Returns how many calls there were, and lets all further ones pass.
long faults_disarm(void) {
  pthread_mutex_lock(&mutex);
  mode = kOff;
  if (journal >= 0) close(journal);
  journal = -1;
  pthread_mutex_unlock(&mutex);
  return calls;
}

// A process that is to be armed from its beginning is told so by its environment.
__attribute__((constructor)) static void ArmFromEnvironment(void) {
  const char* flock_failure = getenv("FAULTS_FLOCK");
  if (flock_failure) flock_error = atoi(flock_failure);
  const char* folder = getenv("FAULTS_ROOT");
  if (!folder) return;
  faults_arm(folder, atoi(getenv("FAULTS_MODE")), atoi(getenv("FAULTS_ERROR")),
             atol(getenv("FAULTS_POINT")), getenv("FAULTS_JOURNAL"),
             getenv("FAULTS_GRAVES"));
}

static void Resolve(int folder, const char* path, char* out) {
  char link[64];
  if (path[0] == '/') {
    snprintf(out, PATH_MAX, "%s", path);
    return;
  }
  snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
  ssize_t length = readlink(folder == AT_FDCWD ? "/proc/self/cwd" : link, out, PATH_MAX / 2);
  if (length < 0) length = 0;
  snprintf(out + length, PATH_MAX - length, "/%s", path);
}

static int Below(const char* path) {
  size_t length = strlen(root);
  return mode != kOff && !inside && length && !strncmp(path, root, length) &&
         (path[length] == '/' || !path[length]);
}

static int FileBelow(int file, char* path) {
  char link[64];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return Below(path);
}

static void Note(const char* what, const char* one, const char* other) {
  if (journal < 0) return;
  char line[3 * PATH_MAX];
  int length = snprintf(line, sizeof(line), "%s\t%s\t%s\n", what, one, other);
  syscall(SYS_write, journal, line, length);
}

static void NoteFile(const char* what, int file) {
  struct stat status;
  char inode[32], size[32];
  if (journal < 0 || fstat(file, &status)) return;
  snprintf(inode, sizeof(inode), "%lu", (unsigned long)status.st_ino);
  snprintf(size, sizeof(size), "%ld", (long)status.st_size);
  Note(what, inode, size);
}

// Keeps a second name of a file that is about to lose its own, so that it can be undone.
static void Bury(const char* path, char* grave) {
  grave[0] = 0;
  if (journal < 0) return;
  snprintf(grave, PATH_MAX, "%s/%ld", graves, grave_count++);
  if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0)) grave[0] = 0;
}

// Counts one call. Returns whether it must fail; `grows` is whether it needs space.
static int Fails(int grows) {
  long number = ++calls;
  int hit = 0;
  if (mode == kFailOnce) hit = number == point;
  if (mode == kFull) hit = number >= point && grows;
  if (mode == kFrozen) hit = number >= point;
  if (mode == kExit && number == point) _exit(86);
  if (hit) errno = error_number;
  return hit;
}

#define LOCKED_CALL(type, condition, grows, failure, before, call, after) \
  if (!(condition)) return call;                                          \
  pthread_mutex_lock(&mutex);                                             \
  type result = failure;                                                  \
  if (!Fails(grows)) {                                                    \
    before;                                                               \
    inside = 1;                                                           \
    result = call;                                                        \
    inside = 0;                                                           \
    int kept = errno;                                                     \
    after;                                                                \
    errno = kept;                                                         \
  }                                                                       \
  pthread_mutex_unlock(&mutex);                                           \
  return result;

// ---- opening ----

static int ChangesByOpening(int flags, const char* path) {
  struct stat status;
  return (flags & O_TRUNC) || ((flags & O_CREAT) && lstat(path, &status));
}

static int Open(int folder, const char* name, int flags, mode_t permissions) {
  char path[PATH_MAX];
  Resolve(folder, name, path);
  LOCKED_CALL(int, Below(path) && ChangesByOpening(flags, path), 1, -1,
              struct stat status; int existed = !lstat(path, &status),
              (int)syscall(SYS_openat, folder, name, flags, permissions),
              if (result >= 0) {
                if (!existed) Note("create", path, "");
                NoteFile("written", result);
              })
}

#define OPEN_MODE(last)                              \
  mode_t permissions = 0;                            \
  if (flags & (O_CREAT | __O_TMPFILE)) {             \
    va_list arguments;                               \
    va_start(arguments, last);                       \
    permissions = va_arg(arguments, mode_t);         \
    va_end(arguments);                               \
  }

int open(const char* name, int flags, ...) {
  OPEN_MODE(flags)
  return Open(AT_FDCWD, name, flags, permissions);
}
int open64(const char* name, int flags, ...) {
  OPEN_MODE(flags)
  return Open(AT_FDCWD, name, flags, permissions);
}
int openat(int folder, const char* name, int flags, ...) {
  OPEN_MODE(flags)
  return Open(folder, name, flags, permissions);
}
int openat64(int folder, const char* name, int flags, ...) {
  OPEN_MODE(flags)
  return Open(folder, name, flags, permissions);
}
int creat(const char* name, mode_t permissions) {
  return Open(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, permissions);
}

static FILE* OpenStream(const char* name, const char* how) {
  FILE* (*real)(const char*, const char*) = REAL(fopen64);
  char path[PATH_MAX];
  Resolve(AT_FDCWD, name, path);
  int flags = how[0] == 'w' ? O_CREAT | O_TRUNC : how[0] == 'a' ? O_CREAT : 0;
  LOCKED_CALL(FILE*, Below(path) && ChangesByOpening(flags, path), 1, NULL,
              struct stat status; int existed = !lstat(path, &status), real(name, how),
              if (result) {
                if (!existed) Note("create", path, "");
                NoteFile("written", fileno(result));
              })
}
FILE* fopen(const char* name, const char* how) { return OpenStream(name, how); }
FILE* fopen64(const char* name, const char* how) { return OpenStream(name, how); }

// ---- writing ----

#define WRITING(type, file, failure, call)                             \
  char path[PATH_MAX];                                                 \
  LOCKED_CALL(type, FileBelow(file, path), 1, failure, (void)0, call, \
              NoteFile("written", file))

ssize_t write(int file, const void* data, size_t size) {
  ssize_t (*real)(int, const void*, size_t) = REAL(write);
  WRITING(ssize_t, file, -1, real(file, data, size))
}
ssize_t writev(int file, const struct iovec* parts, int count) {
  ssize_t (*real)(int, const struct iovec*, int) = REAL(writev);
  WRITING(ssize_t, file, -1, real(file, parts, count))
}
ssize_t pwrite(int file, const void* data, size_t size, off_t offset) {
  ssize_t (*real)(int, const void*, size_t, off_t) = REAL(pwrite);
  WRITING(ssize_t, file, -1, real(file, data, size, offset))
}
ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset) {
  ssize_t (*real)(int, const void*, size_t, off64_t) = REAL(pwrite64);
  WRITING(ssize_t, file, -1, real(file, data, size, offset))
}
size_t fwrite(const void* data, size_t size, size_t count, FILE* stream) {
  size_t (*real)(const void*, size_t, size_t, FILE*) = REAL(fwrite);
  WRITING(size_t, fileno(stream), 0, real(data, size, count, stream))
}
int fflush(FILE* stream) {
  int (*real)(FILE*) = REAL(fflush);
  if (!stream) return real(stream);
  WRITING(int, fileno(stream), EOF, real(stream))
}
int fclose(FILE* stream) {
  int (*real)(FILE*) = REAL(fclose);
  char path[PATH_MAX];
  int file = fileno(stream);
  if (!FileBelow(file, path)) return real(stream);
  // What is still in the stream's buffer is written now, or it is lost.
  pthread_mutex_lock(&mutex);
  int fails = Fails(1);
  int copy = dup(file);
  if (fails) {  // closed without its buffer: the descriptor leads nowhere
    int nowhere = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC, 0);
    dup2(nowhere, file);
    close(nowhere);
  }
  inside = 1;
  int result = real(stream);
  inside = 0;
  if (!fails) NoteFile("written", copy);
  close(copy);
  pthread_mutex_unlock(&mutex);
  if (!fails) return result;
  errno = error_number;
  return EOF;
}
int ftruncate(int file, off_t size) {
  int (*real)(int, off_t) = REAL(ftruncate);
  WRITING(int, file, -1, real(file, size))
}
int ftruncate64(int file, off64_t size) {
  int (*real)(int, off64_t) = REAL(ftruncate64);
  WRITING(int, file, -1, real(file, size))
}

static int Sync(int file, int (*real)(int)) {
  char path[PATH_MAX];
  LOCKED_CALL(int, FileBelow(file, path), 1, -1, (void)0, real(file),
              if (!result) {
                NoteFile("synced", file);
                Note("folder", path, "");
              })
}
int fsync(int file) { return Sync(file, REAL(fsync)); }
int fdatasync(int file) { return Sync(file, REAL(fdatasync)); }

// ---- names ----

static int Rename(int from_folder, const char* from, int to_folder, const char* to) {
  char one[PATH_MAX], other[PATH_MAX], grave[PATH_MAX];
  Resolve(from_folder, from, one);
  Resolve(to_folder, to, other);
  LOCKED_CALL(int, Below(one) || Below(other), 0, -1, Bury(other, grave),
              (int)syscall(SYS_renameat, from_folder, from, to_folder, to), if (!result) {
                char both[2 * PATH_MAX];
                snprintf(both, sizeof(both), "%s\t%s", other, grave);
                Note("rename", one, both);
              })
}
int rename(const char* from, const char* to) { return Rename(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_folder, const char* from, int to_folder, const char* to) {
  return Rename(from_folder, from, to_folder, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned int flags) {
  (void)flags;
  return Rename(from_folder, from, to_folder, to);
}

static int Unlink(int folder, const char* name, int flags) {
  char path[PATH_MAX], grave[PATH_MAX];
  Resolve(folder, name, path);
  LOCKED_CALL(int, Below(path), 0, -1, Bury(path, grave),
              (int)syscall(SYS_unlinkat, folder, name, flags),
              if (!result) Note(flags & AT_REMOVEDIR ? "rmdir" : "unlink", path, grave))
}
int unlink(const char* name) { return Unlink(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char* name, int flags) { return Unlink(folder, name, flags); }
int rmdir(const char* name) { return Unlink(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char* name) {
  struct stat status;
  int folder = !lstat(name, &status) && S_ISDIR(status.st_mode);
  return Unlink(AT_FDCWD, name, folder ? AT_REMOVEDIR : 0);
}

static int MakeFolder(int folder, const char* name, mode_t permissions) {
  char path[PATH_MAX];
  Resolve(folder, name, path);
  LOCKED_CALL(int, Below(path), 1, -1, (void)0,
              (int)syscall(SYS_mkdirat, folder, name, permissions),
              if (!result) Note("mkdir", path, ""))
}
int mkdir(const char* name, mode_t permissions) {
  return MakeFolder(AT_FDCWD, name, permissions);
}
int mkdirat(int folder, const char* name, mode_t permissions) {
  return MakeFolder(folder, name, permissions);
}

static int Link(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  char path[PATH_MAX];
  Resolve(to_folder, to, path);
  LOCKED_CALL(int, Below(path), 1, -1, (void)0,
              (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags),
              if (!result) Note("create", path, ""))
}
int link(const char* from, const char* to) { return Link(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  return Link(from_folder, from, to_folder, to, flags);
}

int flock(int file, int operation) {
  int (*real)(int, int) = REAL(flock);
  if (!flock_error) return real(file, operation);
  errno = flock_error;
  return -1;
}
