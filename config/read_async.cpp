#include <array>

#include "config/readers.hpp"

namespace rouse::config {
namespace {

using draft = function_draft;

/// The store keeps a request whole, and a row of it can be at most 1,000,000,000 bytes.
constexpr std::uint64_t largest_body = std::uint64_t{512} << 20U;
constexpr std::uint64_t most_requests = 1'000'000'000;
constexpr std::uint64_t most_attempts = 100;

/// Where a key stands; `level` is kept with what revisions begin with.
said now(const scope& in, const member& entry, const draft& out) {
  return {{&in.file, entry.value_mark()}, out.shared.level};
}

constexpr std::array retry_fields{
    field<draft>{"attempts", [](const scope& in, const member& e,
                                draft& out) { read_whole(in, e, 1, most_attempts, out.value.async.retry.attempts); }},
    field<draft>{"delay",
                 [](const scope& in, const member& e, draft& out) {
                   read_duration(in, e, zero::refused, out.value.async.retry.delay);
                   out.delay = now(in, e, out);
                 }},
    field<draft>{"max_delay",
                 [](const scope& in, const member& e, draft& out) {
                   read_duration(in, e, zero::refused, out.value.async.retry.max_delay);
                   out.max_delay = now(in, e, out);
                 }},
};

constexpr std::array async_fields{
    field<draft>{"max_requests", [](const scope& in, const member& e,
                                    draft& out) { read_whole(in, e, 1, most_requests, out.value.async.max_requests); }},
    field<draft>{"max_bytes",
                 [](const scope& in, const member& e, draft& out) {
                   read_size(in, e, 1, largest_size, out.value.async.max_bytes);
                   out.max_bytes = now(in, e, out);
                 }},
    field<draft>{"max_body",
                 [](const scope& in, const member& e, draft& out) {
                   read_size(in, e, 1, largest_body, out.value.async.max_body);
                   out.max_body = now(in, e, out);
                 }},
    field<draft>{"result_ttl", [](const scope& in, const member& e,
                                  draft& out) { read_duration(in, e, zero::refused, out.value.async.result_ttl); }},
    field<draft>{"retry",
                 [](const scope& in, const member& e, draft& out) {
                   if (const node* map = mapping(in, e))
                     read_fields(in, *map, "function.async.retry", retry_fields, out);
                 }},
};

/// Of two keys that do not fit together, the one that was given nearer to the function; `second` of equals.
place nearer(const said& first, const said& second) {
  return second.level >= first.level ? second.at : first.at;
}

}  // namespace

void read_async(const scope& in, const member& entry, function_draft& out) {
  if (const node* map = mapping(in, entry)) read_fields(in, *map, "function.async", async_fields, out);
}

void finish_async(const scope& in, function_draft& out) {
  async& value = out.value.async;
  if (value.retry.delay > value.retry.max_delay) {
    in.problems.add(nearer(out.delay, out.max_delay),
                    "`delay` (" + format_duration(value.retry.delay) + ") is more than `max_delay` (" +
                        format_duration(value.retry.max_delay) + "): raise `max_delay` or lower `delay`");
  }
  if (value.max_body <= value.max_bytes) return;
  if (!out.max_body.anywhere()) {
    value.max_body = value.max_bytes;
    return;
  }
  in.problems.add(nearer(out.max_bytes, out.max_body), "`max_body` (" + format_size(value.max_body) +
                                                           ") is more than `max_bytes` (" +
                                                           format_size(value.max_bytes) +
                                                           "), which is for all that waits: raise `max_bytes` or lower "
                                                           "`max_body`");
}

void add_async_keys(std::vector<key_section>& out) {
  out.push_back({"function.async", keys_of(async_fields)});
  out.push_back({"function.async.retry", keys_of(retry_fields)});
}

}  // namespace rouse::config
