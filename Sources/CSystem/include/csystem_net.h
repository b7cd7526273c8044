// csystem_net.h: the sockets, epoll and peer calls that Swift's Glibc module hides or imports
// awkwardly. Every function returns a result >= 0, or -errno. None allocates, keeps state or logs.
#ifndef CSYSTEM_NET_H
#define CSYSTEM_NET_H

#include <stddef.h>
#include <stdint.h>

enum {
  CSYSTEM_READABLE = 0x001,    // EPOLLIN
  CSYSTEM_WRITABLE = 0x004,    // EPOLLOUT
  CSYSTEM_FAILED = 0x008,      // EPOLLERR
  CSYSTEM_HUNG_UP = 0x010,     // EPOLLHUP
  CSYSTEM_PEER_CLOSED = 0x2000 // EPOLLRDHUP
};

// One readiness report: which of the bits above, for the token given when the descriptor was added.
struct csystem_event {
  uint64_t token;
  uint32_t bits;
};

// Who is at the other end of an accepted connection. `address` is numeric and empty for a Unix
// socket.
struct csystem_peer {
  int is_unix;
  char address[48];
  uint16_t port;
};

struct csystem_credentials {
  uint32_t uid;
  uint32_t gid;
  int32_t pid;
};

int csystem_epoll_create(void);
int csystem_epoll_add(int poller, int descriptor, uint32_t bits, uint64_t token);
int csystem_epoll_modify(int poller, int descriptor, uint32_t bits, uint64_t token);
int csystem_epoll_remove(int poller, int descriptor);
// Waits at most timeout_ms (-1 forever, 0 not at all); at most 256 events at a time. EINTR gives 0.
int csystem_epoll_wait(int poller, struct csystem_event *events, int capacity, int timeout_ms);

// Non-blocking, close-on-exec.
int csystem_eventfd(void);
// Non-blocking, close-on-exec; ends[0] reads, ends[1] writes.
int csystem_pipe(int ends[2]);
// A connected pair of non-blocking, close-on-exec Unix stream sockets.
int csystem_socketpair(int ends[2]);
// Adds 1 to an eventfd; a counter that is already full counts as success.
int csystem_wake(int descriptor);
// Reads an eventfd back to 0.
int csystem_wake_clear(int descriptor);

// A listening TCP socket on a numeric IPv4 or IPv6 address; -EINVAL if the address is not numeric.
int csystem_listen_tcp(const char *address, uint16_t port, int backlog);
// The port that a TCP socket is bound to.
int csystem_local_port(int descriptor);
// A listening Unix socket, mode 0600 before it can be connected to. A socket file that no process
// serves is replaced; one that is served gives -EADDRINUSE; a path that is not a socket gives
// -EEXIST.
int csystem_listen_unix(const char *path, int backlog);
// The most bytes that a Unix socket path may have, without its final NUL.
int csystem_unix_path_limit(void);
// Removes the socket file at path if it still is inode `inode` of device `device`.
int csystem_unlink_unix(const char *path, uint64_t device, uint64_t inode);
int csystem_file_identity(const char *path, uint64_t *device, uint64_t *inode);

// A non-blocking, close-on-exec connection, with small writes sent at once and dead peers probed.
int csystem_accept(int listener, struct csystem_peer *peer);
int csystem_credentials_of(int descriptor, struct csystem_credentials *credentials);
// Blocking connections, for clients.
int csystem_connect_tcp(const char *address, uint16_t port);
int csystem_connect_unix(const char *path);
// Sends one datagram to a service manager's socket: a path, or a name in the abstract space after
// '@'. Source: sd_notify(3).
int csystem_notify(const char *address, const char *message);
// Limits how long a blocking descriptor waits in send and recv; 0 means forever.
int csystem_set_timeouts(int descriptor, int milliseconds);
int csystem_set_send_buffer(int descriptor, int bytes);
int csystem_set_receive_buffer(int descriptor, int bytes);

// Never raise SIGPIPE; the non-blocking pair returns -EAGAIN whatever the descriptor's flags.
long csystem_send(int descriptor, const void *bytes, size_t count);
long csystem_receive(int descriptor, void *bytes, size_t count);
long csystem_send_blocking(int descriptor, const void *bytes, size_t count);
long csystem_receive_blocking(int descriptor, void *bytes, size_t count);
int csystem_shutdown_writing(int descriptor);
int csystem_close(int descriptor);
// Opens /dev/null: a descriptor held in reserve for when none is left.
int csystem_open_spare(void);
// Sets the calling thread's name; at most 15 bytes are kept.
int csystem_thread_name(const char *name);
// Raises the soft limit of open files towards `wanted`, at most to the hard limit; returns the
// limit in effect.
long csystem_raise_file_limit(long wanted);

#endif
