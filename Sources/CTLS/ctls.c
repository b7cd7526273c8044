#include "ctls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Numbers of ssl.h, tls1.h, x509_vfy.h and x509v3.h.
enum {
  MIN_PROTOCOL = 123, MODE = 33, SERVER_NAME = 55, TLS_1_2 = 0x0303,
  RELEASE_BUFFERS = 0x10, MOVING_WRITE_BUFFER = 2,
  PEM_FILE = 1, VERIFY_NONE = 0, VERIFY_PEER = 1,
  WANT_READ = 2, WANT_WRITE = 3, ZERO_RETURN = 6,
  ALPN_TAKEN = 0, ALPN_FATAL = 2, ALPN_NONE = 3,
  CRL_CHECK = 0x4, NO_PARTIAL_WILDCARDS = 0x4
};
static const unsigned long NO_RENEGOTIATION = 1ul << 30, SYSTEM_FLAG = 1ul << 31;

typedef struct { int type; } opaque;

// Every function that is called: its result, its name, its parameters.
#define FUNCTIONS(ROW)                                                                            \
  ROW(const char *, OpenSSL_version, (int what))                                                  \
  ROW(const void *, TLS_server_method, (void))                                                    \
  ROW(const void *, TLS_client_method, (void))                                                    \
  ROW(opaque *, SSL_CTX_new, (const void *method))                                                \
  ROW(void, SSL_CTX_free, (opaque * context))                                                     \
  ROW(long, SSL_CTX_ctrl, (opaque * context, int what, long number, void *pointer))               \
  ROW(unsigned long, SSL_CTX_set_options, (opaque * context, unsigned long options))              \
  ROW(void, SSL_CTX_set_verify, (opaque * context, int mode, void *callback))                     \
  ROW(int, SSL_CTX_load_verify_locations, (opaque * context, const char *file, const char *dir))  \
  ROW(int, SSL_CTX_set_default_verify_paths, (opaque * context))                                  \
  ROW(opaque *, SSL_CTX_get0_param, (opaque * context))                                           \
  ROW(opaque *, SSL_CTX_get0_certificate, (opaque * context))                                     \
  ROW(int, SSL_CTX_use_certificate_chain_file, (opaque * context, const char *file))              \
  ROW(int, SSL_CTX_use_PrivateKey_file, (opaque * context, const char *file, int type))           \
  ROW(int, SSL_CTX_check_private_key, (opaque * context))                                         \
  ROW(void, SSL_CTX_set_default_passwd_cb, (opaque * context, void *callback))                    \
  ROW(void, SSL_CTX_set_alpn_select_cb, (opaque * context, void *callback, void *argument))       \
  ROW(opaque *, SSL_new, (opaque * context))                                                      \
  ROW(void, SSL_free, (opaque * session))                                                         \
  ROW(long, SSL_ctrl, (opaque * session, int what, long number, void *pointer))                   \
  ROW(int, SSL_set1_host, (opaque * session, const char *host))                                   \
  ROW(opaque *, SSL_get0_param, (opaque * session))                                               \
  ROW(void, SSL_set_bio, (opaque * session, opaque * reading, opaque * writing))                  \
  ROW(void, SSL_set_accept_state, (opaque * session))                                             \
  ROW(void, SSL_set_connect_state, (opaque * session))                                            \
  ROW(int, SSL_do_handshake, (opaque * session))                                                  \
  ROW(int, SSL_read, (opaque * session, void *bytes, int count))                                  \
  ROW(int, SSL_write, (opaque * session, const void *bytes, int count))                           \
  ROW(int, SSL_shutdown, (opaque * session))                                                      \
  ROW(int, SSL_get_error, (opaque * session, int result))                                         \
  ROW(long, SSL_get_verify_result, (opaque * session))                                            \
  ROW(const char *, SSL_get_version, (opaque * session))                                          \
  ROW(const void *, BIO_s_mem, (void))                                                            \
  ROW(opaque *, BIO_new, (const void *method))                                                    \
  ROW(int, BIO_free, (opaque * bio))                                                              \
  ROW(int, BIO_read, (opaque * bio, void *bytes, int count))                                      \
  ROW(int, BIO_write, (opaque * bio, const void *bytes, int count))                               \
  ROW(size_t, BIO_ctrl_pending, (opaque * bio))                                                   \
  ROW(int, X509_VERIFY_PARAM_set_flags, (opaque * parameters, unsigned long flags))               \
  ROW(void, X509_VERIFY_PARAM_set_hostflags, (opaque * parameters, unsigned flags))               \
  ROW(int, X509_VERIFY_PARAM_set1_ip_asc, (opaque * parameters, const char *address))             \
  ROW(const char *, X509_verify_cert_error_string, (long code))                                   \
  ROW(const void *, X509_get0_notAfter, (opaque * certificate))                                   \
  ROW(int, ASN1_TIME_diff, (int *days, int *seconds, const void *from, const void *to))           \
  ROW(unsigned long, ERR_get_error, (void))                                                       \
  ROW(void, ERR_clear_error, (void))                                                              \
  ROW(const char *, ERR_reason_error_string, (unsigned long code))

static struct {
#define MEMBER(result, name, parameters) result(*name) parameters;
  FUNCTIONS(MEMBER)
#undef MEMBER
} ssl;

static int is_open;
static char trouble[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_library(void) {
  // Its dependency libcrypto is searched by the same handle.
  void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *words = dlerror();
    snprintf(trouble, sizeof trouble, "%s", words ? words : "libssl.so.3 cannot be loaded");
    return;
  }
#define LOOK(result, name, parameters)                                           \
  *(void **)&ssl.name = dlsym(library, #name);                                   \
  if (!ssl.name) {                                                               \
    snprintf(trouble, sizeof trouble, "libssl.so.3 has no function %s", #name);  \
    return;                                                                      \
  }
  FUNCTIONS(LOOK)
#undef LOOK
  is_open = 1;
}

int ctls_open(char *error, size_t size) {
  pthread_once(&once, open_library);
  if (!is_open) snprintf(error, size, "%s", trouble);
  return is_open;
}

const char *ctls_version(void) { return is_open ? ssl.OpenSSL_version(0) : ""; }

// The first reason in OpenSSL's list of errors, which is the deepest. The list is emptied.
static void reason(const char *where, const char *otherwise, char *error, size_t size) {
  const char *words = NULL;
  unsigned long code;
  while ((code = ssl.ERR_get_error())) {
    // Since version 3 an errno is marked by a bit of its own, and has no text there (err.h).
    const char *found =
        code & SYSTEM_FLAG ? strerror((int)(code & ~SYSTEM_FLAG)) : ssl.ERR_reason_error_string(code);
    if (found && !words) words = found;
  }
  if (!words) words = otherwise;
  if (where) {
    snprintf(error, size, "'%s': %s", where, words);
  } else {
    snprintf(error, size, "%s", words);
  }
}

// A key with a passphrase must not ask for it at this process's terminal.
static int no_passphrase(char *buffer, int size, int writing, void *argument) {
  (void)buffer, (void)size, (void)writing, (void)argument;
  return -1;
}

// RFC 7301: a list of names, each behind its length.
static int choose(
    opaque *session, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
    unsigned count, void *argument) {
  (void)session, (void)argument;
  static const char wanted[] = "http/1.1";
  for (unsigned at = 0; at < count;) {
    unsigned size = offered[at++];
    if (size > count - at) break;
    if (size == sizeof wanted - 1 && memcmp(offered + at, wanted, size) == 0) {
      *chosen = offered + at;
      *length = (unsigned char)size;
      return ALPN_TAKEN;
    }
    at += size;
  }
  return ALPN_FATAL;
}

static opaque *make(const void *method, char *error, size_t size) {
  ssl.ERR_clear_error();
  opaque *context = ssl.SSL_CTX_new(method);
  if (!context) {
    reason(NULL, "no memory", error, size);
    return NULL;
  }
  ssl.SSL_CTX_ctrl(context, MIN_PROTOCOL, TLS_1_2, NULL);
  // Buffers of idle connections are given back; waiting output may move in memory.
  ssl.SSL_CTX_ctrl(context, MODE, RELEASE_BUFFERS | MOVING_WRITE_BUFFER, NULL);
  ssl.SSL_CTX_set_options(context, NO_RENEGOTIATION);
  ssl.SSL_CTX_set_default_passwd_cb(context, (void *)no_passphrase);
  return context;
}

static int identify(opaque *context, const char *certificate, const char *key, char *error, size_t size) {
  if (ssl.SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
    reason(certificate, "it is no certificate in PEM", error, size);
    return 0;
  }
  if (ssl.SSL_CTX_use_PrivateKey_file(context, key, PEM_FILE) != 1) {
    reason(key, "it is no private key in PEM", error, size);
    return 0;
  }
  if (ssl.SSL_CTX_check_private_key(context) != 1) {
    reason(key, "it is not the key of the certificate", error, size);
    return 0;
  }
  return 1;
}

ctls_context *ctls_server(const char *certificate, const char *key, char *error, size_t size) {
  if (!ctls_open(error, size)) return NULL;
  opaque *context = make(ssl.TLS_server_method(), error, size);
  if (!context) return NULL;
  if (!identify(context, certificate, key, error, size)) {
    ssl.SSL_CTX_free(context);
    return NULL;
  }
  ssl.SSL_CTX_set_alpn_select_cb(context, (void *)choose, NULL);
  return (ctls_context *)context;
}

// Whether a PEM file has a revocation list.
static int has_revocations(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  char line[256];
  int found = 0;
  while (!found && fgets(line, sizeof line, file)) found = strstr(line, "BEGIN X509 CRL") != NULL;
  fclose(file);
  return found;
}

ctls_context *ctls_client(
    const char *authorities, const char *certificate, const char *key, char *error, size_t size) {
  if (!ctls_open(error, size)) return NULL;
  opaque *context = make(ssl.TLS_client_method(), error, size);
  if (!context) return NULL;
  ssl.SSL_CTX_set_verify(context, VERIFY_PEER, NULL);
  if (authorities && ssl.SSL_CTX_load_verify_locations(context, authorities, NULL) != 1) {
    reason(authorities, "it has no certificate in PEM", error, size);
  } else if (!authorities && ssl.SSL_CTX_set_default_verify_paths(context) != 1) {
    reason(NULL, "the system's authorities cannot be read", error, size);
  } else if (!certificate || identify(context, certificate, key, error, size)) {
    opaque *parameters = ssl.SSL_CTX_get0_param(context);
    if (authorities && has_revocations(authorities)) {
      ssl.X509_VERIFY_PARAM_set_flags(parameters, CRL_CHECK);
    }
    ssl.X509_VERIFY_PARAM_set_hostflags(parameters, NO_PARTIAL_WILDCARDS);
    return (ctls_context *)context;
  }
  ssl.SSL_CTX_free(context);
  return NULL;
}

void ctls_context_free(ctls_context *context) { ssl.SSL_CTX_free((opaque *)context); }

long ctls_days_left(ctls_context *context, int *known) {
  *known = 0;
  opaque *certificate = ssl.SSL_CTX_get0_certificate((opaque *)context);
  if (!certificate) return 0;
  int days = 0, seconds = 0;
  if (ssl.ASN1_TIME_diff(&days, &seconds, NULL, ssl.X509_get0_notAfter(certificate)) != 1) return 0;
  *known = 1;
  return days == 0 && seconds < 0 ? -1 : days;
}

struct ctls_session {
  opaque *session, *reading, *writing;
  char problem[256];
};

ctls_session *ctls_begin(ctls_context *context, const char *host, int is_address) {
  ctls_session *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  ssl.ERR_clear_error();
  made->session = ssl.SSL_new((opaque *)context);
  made->reading = ssl.BIO_new(ssl.BIO_s_mem());
  made->writing = ssl.BIO_new(ssl.BIO_s_mem());
  if (!made->session || !made->reading || !made->writing) {
    if (made->reading) ssl.BIO_free(made->reading);
    if (made->writing) ssl.BIO_free(made->writing);
    if (made->session) ssl.SSL_free(made->session);
    free(made);
    return NULL;
  }
  // The session owns both from now on.
  ssl.SSL_set_bio(made->session, made->reading, made->writing);
  if (!host) {
    ssl.SSL_set_accept_state(made->session);
    return made;
  }
  ssl.SSL_set_connect_state(made->session);
  int is_named;
  if (is_address) {
    is_named = ssl.X509_VERIFY_PARAM_set1_ip_asc(ssl.SSL_get0_param(made->session), host);
  } else {
    is_named = ssl.SSL_set1_host(made->session, host) == 1 &&
               ssl.SSL_ctrl(made->session, SERVER_NAME, 0, (void *)host) == 1;
  }
  if (is_named == 1) return made;
  ctls_end(made);
  return NULL;
}

void ctls_end(ctls_session *session) {
  ssl.SSL_free(session->session);
  free(session);
}

int ctls_feed(ctls_session *session, const void *bytes, size_t count) {
  if (count == 0) return 1;
  if (count <= 1 << 30 && ssl.BIO_write(session->reading, bytes, (int)count) == (int)count) return 1;
  snprintf(session->problem, sizeof session->problem, "no memory");
  return CTLS_FAILED;
}

size_t ctls_take(ctls_session *session, void *bytes, size_t count) {
  if (count > 1 << 30) count = 1 << 30;
  int taken = ssl.BIO_read(session->writing, bytes, (int)count);
  return taken > 0 ? (size_t)taken : 0;
}

size_t ctls_waiting(ctls_session *session) { return ssl.BIO_ctrl_pending(session->writing); }

// What a call's result means; the words of a failure are kept.
static int outcome(ctls_session *session, int result) {
  int error = ssl.SSL_get_error(session->session, result);
  if (error == WANT_READ || error == WANT_WRITE) return CTLS_WANTS;
  if (error == ZERO_RETURN) return CTLS_ENDED;
  long verdict = ssl.SSL_get_verify_result(session->session);
  if (verdict != 0) {
    ssl.ERR_clear_error();
    snprintf(
        session->problem, sizeof session->problem, "its certificate is refused: %s",
        ssl.X509_verify_cert_error_string(verdict));
  } else {
    reason(NULL, "the other side broke it off", session->problem, sizeof session->problem);
  }
  return CTLS_FAILED;
}

int ctls_handshake(ctls_session *session) {
  ssl.ERR_clear_error();
  int result = ssl.SSL_do_handshake(session->session);
  if (result == 1) return 1;
  int found = outcome(session, result);
  if (found != CTLS_ENDED) return found;
  snprintf(session->problem, sizeof session->problem, "the other side ended it");
  return CTLS_FAILED;
}

long ctls_read(ctls_session *session, void *bytes, size_t count) {
  ssl.ERR_clear_error();
  if (count > 1 << 30) count = 1 << 30;
  int result = ssl.SSL_read(session->session, bytes, (int)count);
  return result > 0 ? result : outcome(session, result);
}

long ctls_write(ctls_session *session, const void *bytes, size_t count) {
  ssl.ERR_clear_error();
  if (count > 1 << 30) count = 1 << 30;
  int result = ssl.SSL_write(session->session, bytes, (int)count);
  if (result > 0) return result;
  // Memory is never full, so a wish to wait is a failure too.
  int found = outcome(session, result);
  if (found != CTLS_FAILED) snprintf(session->problem, sizeof session->problem, "nothing can be sent now");
  return CTLS_FAILED;
}

void ctls_finish(ctls_session *session) {
  ssl.ERR_clear_error();
  ssl.SSL_shutdown(session->session);
  ssl.ERR_clear_error();
}

const char *ctls_problem(ctls_session *session) { return session->problem; }

const char *ctls_protocol(ctls_session *session) { return ssl.SSL_get_version(session->session); }
