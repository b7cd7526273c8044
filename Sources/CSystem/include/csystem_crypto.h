// csystem_crypto.h: checking raw Ed25519 signatures with the system's libcrypto, opened at run time
// and never linked. Names and numbers are OpenSSL's published ABI (evp.h, 1.1.1 and 3). Not here:
// making signatures, which ssh-agent does.
#ifndef CSYSTEM_CRYPTO_H
#define CSYSTEM_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

// Whether `signature` (64 bytes) is the one of a message by a public key (32 bytes): 1 it is, 0 it
// is not, -1 there is no libcrypto here that can tell.
int csystem_ed25519_verify(
    const uint8_t *key, const void *message, size_t count, const uint8_t *signature);

#endif
