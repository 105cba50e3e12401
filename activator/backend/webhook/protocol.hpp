#pragma once
// The scaler protocol as text: the JSON of a request and of its answer, and the signature (docs/backends.md describes
// it for those who write a scaler). Pure functions.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "activator/backend/webhook/ledger.hpp"

namespace rouse::webhook {

/// Whose count it is.
struct subject {
  std::string pool, function, revision;
  std::uint32_t hash = 0;  ///< of the revision's identity
};

/// What a scaler keeps one count for: FUNCTION-REVISION-HASH, or the name of a revision that consists of function and
/// hash. One that is to run in another way has another.
[[nodiscard]] std::string key_of(const subject& of);

/// `sequence` rises from request to request, also over restarts as far as the clock does.
[[nodiscard]] std::string to_json(const subject& of, const wish& what, std::uint64_t sequence);

/// Nothing, and `problem` as the end of a sentence, when the body is not what the protocol says: "has no `instances`".
[[nodiscard]] std::optional<listing> parse_listing(std::string_view body, std::string& problem);

/// The key that a secret of the configuration stands for: its own bytes, or what is encoded by base64 behind "whsec_".
/// Nothing when that is not base64.
[[nodiscard]] std::optional<std::string> key_bytes(std::string_view secret);

/// The value of `webhook-signature`: "v1," and the HMAC-SHA256 of "ID.TIMESTAMP.BODY" in base64, as in the Standard
/// Webhooks specification. `timestamp` is in seconds since 1970.
[[nodiscard]] std::string sign(std::string_view key, std::string_view id, std::int64_t timestamp,
                               std::string_view body);

/// Text of a stranger's, made fit for one line of a log: at most 300 bytes, control characters and what is not ASCII as
/// '?'.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace rouse::webhook
