#include "csystem_crypto.h"

#include <dlfcn.h>
#include <pthread.h>

enum { ED25519 = 1087 };  // NID_ED25519 of obj_mac.h

typedef void *(*key_function)(int type, void *engine, const uint8_t *key, size_t count);
typedef void *(*make_function)(void);
typedef int (*begin_function)(void *context, void **more, const void *digest, void *engine, void *key);
typedef int (*verify_function)(
    void *context, const uint8_t *signature, size_t size, const uint8_t *message, size_t count);
typedef void (*free_function)(void *);

static struct {
  key_function key;
  make_function make;
  begin_function begin;
  verify_function verify;
  free_function free_context, free_key;
} crypto;
static int is_open;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_library(void) {
  static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"};
  void *library = NULL;
  for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++) {
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  }
  if (!library) return;
  *(void **)&crypto.key = dlsym(library, "EVP_PKEY_new_raw_public_key");
  *(void **)&crypto.make = dlsym(library, "EVP_MD_CTX_new");
  *(void **)&crypto.begin = dlsym(library, "EVP_DigestVerifyInit");
  *(void **)&crypto.verify = dlsym(library, "EVP_DigestVerify");
  *(void **)&crypto.free_context = dlsym(library, "EVP_MD_CTX_free");
  *(void **)&crypto.free_key = dlsym(library, "EVP_PKEY_free");
  is_open = crypto.key && crypto.make && crypto.begin && crypto.verify && crypto.free_context && crypto.free_key;
}

int csystem_ed25519_verify(
    const uint8_t *key, const void *message, size_t count, const uint8_t *signature) {
  pthread_once(&once, open_library);
  if (!is_open) return -1;
  void *public = crypto.key(ED25519, NULL, key, 32);
  if (!public) return -1;
  void *context = crypto.make();
  int result = -1;
  if (context && crypto.begin(context, NULL, NULL, NULL, public) == 1) {
    result = crypto.verify(context, signature, 64, message, count) == 1;
  }
  if (context) crypto.free_context(context);
  crypto.free_key(public);
  return result;
}
