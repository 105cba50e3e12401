#include "activator/backend/webhook/protocol.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

#include "activator/backend/http/origin.hpp"

namespace rouse::webhook {
namespace {

using nlohmann::json;

constexpr std::size_t longest_text = 300;
constexpr std::size_t longest_name = 200;

/// HOST:PORT with a numeric host.
std::optional<router::address> parse_where(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size() || text.size() - colon > 6) return std::nullopt;
  unsigned port = 0;
  for (const char c : text.substr(colon + 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (port == 0 || port > 65535 || bracketed != (host.find(':') != std::string::npos)) return std::nullopt;
  return backend_http::parse_address(host, static_cast<std::uint16_t>(port));
}

std::optional<listed::state> parse_state(const std::string& word) {
  if (word == "starting") return listed::state::starting;
  if (word == "ready") return listed::state::ready;
  if (word == "terminating") return listed::state::terminating;
  if (word == "failed") return listed::state::failed;
  return std::nullopt;
}

/// A word for a metric's label. What is no such word is a sentence that stands in the wrong place.
std::string word(const std::string& text, std::string_view otherwise) {
  if (text.empty()) return {};
  const bool fits = text.size() <= 40 && std::all_of(text.begin(), text.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                    });
  return fits ? text : std::string(otherwise);
}

/// The text of a key that may be missing or null; false when it is something else.
bool take(const json& from, const char* key, std::string& out) {
  const auto at = from.find(key);
  if (at == from.end() || at->is_null()) return true;
  if (!at->is_string()) return false;
  out = at->get_ref<const std::string&>();
  return true;
}

std::string parse_one(const json& from, listed& out) {
  std::string state, address, reason, detail;
  if (!from.is_object()) return "has an instance that is not an object";
  if (!take(from, "name", out.name) || out.name.empty() || out.name.size() > longest_name)
    return "has an instance whose `name` is not a text of 1 to 200 bytes";
  const std::string who = "has an instance " + printable(out.name);
  if (out.name != printable(out.name).substr(0, longest_name)) return who + " whose `name` is not printable ASCII";
  if (!take(from, "state", state) || !take(from, "address", address) || !take(from, "reason", reason) ||
      !take(from, "detail", detail))
    return who + " with a key that is not a text";
  const auto is = parse_state(state);
  if (!is) return who + " whose `state` is none of starting, ready, terminating, failed";
  out.is = *is;
  if (!address.empty()) {
    out.where = parse_where(address);
    if (!out.where) return who + " whose `address` is not IP:PORT, but " + printable(address);
  }
  if (out.is == listed::state::ready && !out.where) return who + " that is ready and has no `address`";
  out.reason = word(reason, "failed");
  out.detail = printable(detail.empty() ? reason : detail);
  return {};
}

std::string base64(const unsigned char* data, std::size_t size) {
  std::string out(4 * ((size + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), data, static_cast<int>(size));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

}  // namespace

std::string key_of(const subject& of) {
  std::array<char, 9> hash{};
  std::snprintf(hash.data(), hash.size(), "%08x", of.hash);
  const auto automatic = of.function + "-" + hash.data();
  return of.revision == automatic ? automatic : of.function + "-" + of.revision + "-" + hash.data();
}

std::string to_json(const subject& of, const wish& what, std::uint64_t sequence) {
  json remove = json::array();
  for (const auto& each : what.remove)
    remove.push_back({{"name", each.name}, {"grace", static_cast<double>(each.grace.count()) / 1000}});
  json out = {{"pool", of.pool},       {"function", of.function},     {"revision", of.revision}, {"key", key_of(of)},
              {"reason", what.reason}, {"remove", std::move(remove)}, {"sequence", sequence}};
  out["desired"] = what.desired ? json(*what.desired) : json(nullptr);
  return out.dump();
}

std::optional<listing> parse_listing(std::string_view body, std::string& problem) {
  const json got = json::parse(body, nullptr, false);
  const auto refuse = [&](std::string why) {
    problem = std::move(why);
    return std::nullopt;
  };
  if (got.is_discarded()) return refuse("is not JSON");
  if (!got.is_object() || !got.contains("instances") || !got["instances"].is_array())
    return refuse("has no list `instances`");
  listing out;
  std::set<std::string> names;
  for (const auto& each : got["instances"]) {
    listed one;
    if (auto wrong = parse_one(each, one); !wrong.empty()) return refuse(std::move(wrong));
    if (!names.insert(one.name).second) return refuse("has two instances of the name " + one.name);
    out.instances.push_back(std::move(one));
  }
  if (const auto at = got.find("shortage"); at != got.end() && !at->is_null()) {
    if (!at->is_object() || !take(*at, "reason", out.shortage) || !take(*at, "detail", out.shortage_detail) ||
        out.shortage.empty())
      return refuse("has a `shortage` that is not an object with the texts `reason` and `detail`");
    if (out.shortage_detail.empty()) out.shortage_detail = out.shortage;
    out.shortage = word(out.shortage, "failed");
    out.shortage_detail = printable(out.shortage_detail);
  }
  return out;
}

std::optional<std::string> key_bytes(std::string_view secret) {
  constexpr std::string_view prefix = "whsec_";
  if (!secret.starts_with(prefix)) return std::string(secret);
  const auto text = secret.substr(prefix.size());
  std::vector<unsigned char> out(text.size() + 3);
  const int length =
      EVP_DecodeBlock(out.data(), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (text.empty() || length < 0) return std::nullopt;
  const auto padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  return std::string(reinterpret_cast<const char*>(out.data()), static_cast<std::size_t>(length - padding));
}

std::string sign(std::string_view key, std::string_view id, std::int64_t timestamp, std::string_view body) {
  std::string text(id);
  text.append(".").append(std::to_string(timestamp)).append(".").append(body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), digest.data(), &size);
  return "v1," + base64(digest.data(), size);
}

std::string printable(std::string_view text) {
  std::string out(text.substr(0, longest_text));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  if (text.size() > longest_text) out += "...";
  return out;
}

}  // namespace rouse::webhook
