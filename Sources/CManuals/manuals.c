#include "manuals.h"

// `#embed` is C23; the compiler knows it in every mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char hotpot_1[] = {
#embed "../../man/hotpot.1"
};
static const unsigned char hotpot_config_5[] = {
#embed "../../man/hotpot-config.5"
};
static const unsigned char hotpot_receipt_5[] = {
#embed "../../man/hotpot-receipt.5"
};
static const unsigned char hotpot_keys_7[] = {
#embed "../../man/hotpot-keys.7"
};
static const unsigned char hotpot_api_7[] = {
#embed "../../man/hotpot-api.7"
};
static const unsigned char hotpot_numerics_7[] = {
#embed "../../man/hotpot-numerics.7"
};

static const struct manual pages[] = {
    {"hotpot.1", hotpot_1, sizeof hotpot_1},
    {"hotpot-config.5", hotpot_config_5, sizeof hotpot_config_5},
    {"hotpot-receipt.5", hotpot_receipt_5, sizeof hotpot_receipt_5},
    {"hotpot-keys.7", hotpot_keys_7, sizeof hotpot_keys_7},
    {"hotpot-api.7", hotpot_api_7, sizeof hotpot_api_7},
    {"hotpot-numerics.7", hotpot_numerics_7, sizeof hotpot_numerics_7},
};

size_t manuals_count(void) { return sizeof pages / sizeof pages[0]; }

struct manual manuals_page(size_t index) {
  struct manual none = {NULL, NULL, 0};
  return index < manuals_count() ? pages[index] : none;
}
