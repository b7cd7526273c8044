#define _GNU_SOURCE
#include "csystem_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(CSYSTEM_READABLE == EPOLLIN && CSYSTEM_WRITABLE == EPOLLOUT, "epoll bits");
_Static_assert(CSYSTEM_FAILED == EPOLLERR && CSYSTEM_HUNG_UP == EPOLLHUP, "epoll bits");
_Static_assert(CSYSTEM_PEER_CLOSED == EPOLLRDHUP, "epoll bits");

static int answer(int result) { return result < 0 ? -errno : result; }

int csystem_epoll_create(void) { return answer(epoll_create1(EPOLL_CLOEXEC)); }

static int control(int poller, int operation, int descriptor, uint32_t bits, uint64_t token) {
  struct epoll_event event = {.events = bits, .data = {.u64 = token}};
  return answer(epoll_ctl(poller, operation, descriptor, &event));
}

int csystem_epoll_add(int poller, int descriptor, uint32_t bits, uint64_t token) {
  return control(poller, EPOLL_CTL_ADD, descriptor, bits, token);
}

int csystem_epoll_modify(int poller, int descriptor, uint32_t bits, uint64_t token) {
  return control(poller, EPOLL_CTL_MOD, descriptor, bits, token);
}

int csystem_epoll_remove(int poller, int descriptor) {
  return control(poller, EPOLL_CTL_DEL, descriptor, 0, 0);
}

int csystem_epoll_wait(int poller, struct csystem_event *events, int capacity, int timeout_ms) {
  struct epoll_event found[256];
  if (capacity > 256) capacity = 256;
  if (capacity <= 0) return -EINVAL;
  int count = epoll_wait(poller, found, capacity, timeout_ms);
  if (count < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < count; i++) {
    events[i].token = found[i].data.u64;
    events[i].bits = found[i].events;
  }
  return count;
}

int csystem_eventfd(void) { return answer(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

int csystem_pipe(int ends[2]) { return answer(pipe2(ends, O_NONBLOCK | O_CLOEXEC)); }

int csystem_socketpair(int ends[2]) {
  return answer(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
}

int csystem_wake(int descriptor) {
  uint64_t one = 1;
  ssize_t count;
  do count = write(descriptor, &one, sizeof one);
  while (count < 0 && errno == EINTR);
  return count < 0 && errno != EAGAIN ? -errno : 0;
}

int csystem_wake_clear(int descriptor) {
  uint64_t value;
  ssize_t count;
  do count = read(descriptor, &value, sizeof value);
  while (count < 0 && errno == EINTR);
  return count < 0 && errno != EAGAIN ? -errno : 0;
}

struct any_address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
  };
  socklen_t length;
};

static int parse_address(const char *text, uint16_t port, struct any_address *out) {
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(port);
    out->length = sizeof out->v4;
    return 0;
  }
  if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    out->length = sizeof out->v6;
    return 0;
  }
  return -EINVAL;
}

static int parse_path(const char *path, struct any_address *out) {
  memset(out, 0, sizeof *out);
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof out->local.sun_path) return -ENAMETOOLONG;
  out->local.sun_family = AF_UNIX;
  memcpy(out->local.sun_path, path, length + 1);
  out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
  return 0;
}

static int fail_closing(int descriptor, int error) {
  close(descriptor);
  return -error;
}

static int connect_to(const struct any_address *where, int flags) {
  int descriptor = socket(where->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (descriptor < 0) return -errno;
  int result;
  do result = connect(descriptor, &where->any, where->length);
  while (result < 0 && errno == EINTR);
  if (result < 0) return fail_closing(descriptor, errno);
  return descriptor;
}

int csystem_listen_tcp(const char *address, uint16_t port, int backlog) {
  struct any_address where;
  int parsed = parse_address(address, port, &where);
  if (parsed < 0) return parsed;
  int descriptor = socket(where.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  int on = 1;
  if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) return fail_closing(descriptor, errno);
  if (where.any.sa_family == AF_INET6 &&
      setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
    return fail_closing(descriptor, errno);
  if (bind(descriptor, &where.any, where.length) < 0) return fail_closing(descriptor, errno);
  if (listen(descriptor, backlog) < 0) return fail_closing(descriptor, errno);
  return descriptor;
}

int csystem_local_port(int descriptor) {
  struct any_address where = {.length = sizeof where.storage};
  if (getsockname(descriptor, &where.any, &where.length) < 0) return -errno;
  if (where.any.sa_family == AF_INET) return ntohs(where.v4.sin_port);
  if (where.any.sa_family == AF_INET6) return ntohs(where.v6.sin6_port);
  return -EAFNOSUPPORT;
}

int csystem_listen_unix(const char *path, int backlog) {
  struct any_address where;
  int parsed = parse_path(path, &where);
  if (parsed < 0) return parsed;
  struct stat found;
  if (lstat(path, &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) return -EEXIST;
    // Non-blocking: if a live server's backlog is full, connect returns EAGAIN, and the socket is
    // in use.
    int probe = connect_to(&where, SOCK_NONBLOCK);
    if (probe >= 0) return fail_closing(probe, EADDRINUSE);
    if (probe == -EAGAIN) return -EADDRINUSE;
    if (probe != -ECONNREFUSED) return probe;
    if (unlink(path) < 0 && errno != ENOENT) return -errno;
  } else if (errno != ENOENT) {
    return -errno;
  }
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  if (bind(descriptor, &where.any, where.length) < 0) return fail_closing(descriptor, errno);
  // Nobody can connect between bind and listen, so the mode is right before the first connection.
  if (chmod(path, 0600) < 0 || listen(descriptor, backlog) < 0) {
    int error = errno;
    unlink(path);
    return fail_closing(descriptor, error);
  }
  return descriptor;
}

int csystem_unix_path_limit(void) { return (int)sizeof(((struct sockaddr_un *)0)->sun_path) - 1; }

int csystem_file_identity(const char *path, uint64_t *device, uint64_t *inode) {
  struct stat found;
  if (lstat(path, &found) < 0) return -errno;
  *device = (uint64_t)found.st_dev;
  *inode = (uint64_t)found.st_ino;
  return 0;
}

int csystem_unlink_unix(const char *path, uint64_t device, uint64_t inode) {
  struct stat found;
  if (lstat(path, &found) < 0) return -errno;
  if (!S_ISSOCK(found.st_mode) || (uint64_t)found.st_dev != device || (uint64_t)found.st_ino != inode)
    return -ESTALE;
  return answer(unlink(path));
}

int csystem_accept(int listener, struct csystem_peer *peer) {
  struct any_address where = {.length = sizeof where.storage};
  memset(peer, 0, sizeof *peer);
  int descriptor;
  do descriptor = accept4(listener, &where.any, &where.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) return -errno;
  if (where.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &where.v4.sin_addr, peer->address, sizeof peer->address);
    peer->port = ntohs(where.v4.sin_port);
  } else if (where.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &where.v6.sin6_addr, peer->address, sizeof peer->address);
    peer->port = ntohs(where.v6.sin6_port);
  } else {
    peer->is_unix = 1;
    return descriptor;
  }
  // A peer whose machine vanished is noticed after 30 s plus 3 probes of 10 s. If this fails, only
  // that is lost.
  int on = 1, idle = 30, interval = 10, probes = 3;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  return descriptor;
}

int csystem_credentials_of(int descriptor, struct csystem_credentials *credentials) {
  struct ucred found;
  socklen_t length = sizeof found;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &found, &length) < 0) return -errno;
  credentials->uid = found.uid;
  credentials->gid = found.gid;
  credentials->pid = found.pid;
  return 0;
}

int csystem_connect_tcp(const char *address, uint16_t port) {
  struct any_address where;
  int parsed = parse_address(address, port, &where);
  if (parsed < 0) return parsed;
  int descriptor = connect_to(&where, 0);
  int on = 1;
  if (descriptor >= 0) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

int csystem_connect_unix(const char *path) {
  struct any_address where;
  int parsed = parse_path(path, &where);
  return parsed < 0 ? parsed : connect_to(&where, 0);
}

int csystem_set_timeouts(int descriptor, int milliseconds) {
  struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = (milliseconds % 1000) * 1000};
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) return -errno;
  return answer(setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
}

int csystem_notify(const char *address, const char *message) {
  struct sockaddr_un where = {.sun_family = AF_UNIX};
  size_t length = strlen(address);
  if (length == 0 || (address[0] != '/' && address[0] != '@')) return -EINVAL;
  // The length of an abstract name does not include a final NUL; that of a path does.
  if (length > sizeof where.sun_path - (address[0] == '/')) return -ENAMETOOLONG;
  memcpy(where.sun_path, address, length);
  if (address[0] == '@') where.sun_path[0] = 0;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (address[0] == '/'));
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  ssize_t sent;
  do {
    sent = sendto(descriptor, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&where, size);
  } while (sent < 0 && errno == EINTR);
  int result = sent < 0 ? -errno : 0;
  close(descriptor);
  return result;
}

int csystem_set_send_buffer(int descriptor, int bytes) {
  return answer(setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
}

int csystem_set_receive_buffer(int descriptor, int bytes) {
  return answer(setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
}

static long transfer(ssize_t count) { return count < 0 ? -errno : count; }

long csystem_send(int descriptor, const void *bytes, size_t count) {
  ssize_t sent;
  do sent = send(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return transfer(sent);
}

long csystem_receive(int descriptor, void *bytes, size_t count) {
  ssize_t got;
  do got = recv(descriptor, bytes, count, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  return transfer(got);
}

long csystem_send_blocking(int descriptor, const void *bytes, size_t count) {
  ssize_t sent;
  do sent = send(descriptor, bytes, count, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return transfer(sent);
}

long csystem_receive_blocking(int descriptor, void *bytes, size_t count) {
  ssize_t got;
  do got = recv(descriptor, bytes, count, 0);
  while (got < 0 && errno == EINTR);
  return transfer(got);
}

int csystem_shutdown_writing(int descriptor) { return answer(shutdown(descriptor, SHUT_WR)); }

int csystem_close(int descriptor) { return answer(close(descriptor)); }

int csystem_open_spare(void) { return answer(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

int csystem_thread_name(const char *name) {
  char kept[16] = {0};
  strncpy(kept, name, sizeof kept - 1);
  return -pthread_setname_np(pthread_self(), kept);
}

long csystem_raise_file_limit(long wanted) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  rlim_t aim = wanted < 0 ? 0 : (rlim_t)wanted;
  if (aim > limit.rlim_max) aim = limit.rlim_max;
  if (aim > limit.rlim_cur) {
    limit.rlim_cur = aim;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  }
  return limit.rlim_cur > (rlim_t)__LONG_MAX__ ? __LONG_MAX__ : (long)limit.rlim_cur;
}
