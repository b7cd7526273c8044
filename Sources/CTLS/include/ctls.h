// ctls.h: TLS by the system's OpenSSL 3, opened at run time and never linked. A session works on
// memory: encrypted bytes are fed and taken, so that the caller owns every socket and every wait.
// Names and numbers are OpenSSL's published ABI (ssl.h, x509_vfy.h, bio.h of 3.0). Not here: sockets,
// deadlines and what is sent (Swift's target TLS). Start at ctls_open.
#ifndef CTLS_H
#define CTLS_H

#include <stddef.h>

// Certificates, keys and settings that many sessions share; may be used by several threads.
typedef struct ctls_context ctls_context;
// One connection; belongs to one thread at a time.
typedef struct ctls_session ctls_session;

enum {
  CTLS_ENDED = 0,   // the peer said that it sends no more
  CTLS_WANTS = -1,  // it needs more encrypted bytes first
  CTLS_FAILED = -2  // ctls_problem has the words
};

// Opens libssl.so.3 once. Returns 1; 0 if there is none that can be used, with the loader's words.
int ctls_open(char *error, size_t size);
// The library's name and version, such as "OpenSSL 3.0.19 27 Jan 2026"; "" before ctls_open.
const char *ctls_version(void);

// A server's settings: TLS 1.2 and 1.3, ALPN http/1.1. The certificate's file is PEM and may hold a
// chain; the key's file is PEM without a passphrase. NULL, with the reason in `error`.
ctls_context *ctls_server(const char *certificate, const char *key, char *error, size_t size);
// A client's settings: the peer is verified by the authorities in the PEM file `authorities`, or by
// the system's if that is NULL. If the file holds a revocation list too, it is asked. `certificate`
// and `key` are what this client identifies itself with; both may be NULL.
ctls_context *ctls_client(
    const char *authorities, const char *certificate, const char *key, char *error, size_t size);
void ctls_context_free(ctls_context *context);
// Whole days until the certificate ends, negative after that; 0 and `known` 0 if there is none.
long ctls_days_left(ctls_context *context, int *known);

// A session as a server (`host` NULL), or as a client that wants a certificate for `host`, a DNS
// name or, with `is_address`, a numeric address. NULL without memory or for an impossible name.
ctls_session *ctls_begin(ctls_context *context, const char *host, int is_address);
void ctls_end(ctls_session *session);

// Takes encrypted bytes from the peer. Returns 1, or CTLS_FAILED without memory.
int ctls_feed(ctls_session *session, const void *bytes, size_t count);
// Moves encrypted bytes for the peer into `bytes`. Returns how many.
size_t ctls_take(ctls_session *session, void *bytes, size_t count);
// How many encrypted bytes wait to be taken.
size_t ctls_waiting(ctls_session *session);
// Goes on with the handshake. Returns 1 once it is complete, CTLS_WANTS or CTLS_FAILED. What is to
// be taken, such as an alert, is to be sent in each case.
int ctls_handshake(ctls_session *session);
// Decrypted bytes: how many, or one of the three above.
long ctls_read(ctls_session *session, void *bytes, size_t count);
// Encrypts all of the bytes; at most 16,384 make one record. Returns how many, or CTLS_FAILED.
long ctls_write(ctls_session *session, const void *bytes, size_t count);
// Says that no more is sent.
void ctls_finish(ctls_session *session);
// The reason of the last CTLS_FAILED, in OpenSSL's words.
const char *ctls_problem(ctls_session *session);
// "TLSv1.3", for a session whose handshake is complete.
const char *ctls_protocol(ctls_session *session);

#endif
