#include "gateway/events/event_request.hpp"

#include <algorithm>
#include <charconv>

#include "config/text.hpp"
#include "gateway/events/cloudevents/http.hpp"
#include "gateway/http/compose.hpp"

namespace rouse::gateway::events {

namespace {

constexpr std::size_t shown_of_reply = 512;

const std::string* field_of(const delivery_result& result, std::string_view name) {
  const auto same = [name](const auto& field) {
    return std::ranges::equal(field.first, name, [](char sent, char wanted) {
      return (sent >= 'A' && sent <= 'Z' ? static_cast<char>(sent + 32) : sent) == wanted;
    });
  };
  const auto at = std::ranges::find_if(result.fields, same);
  return at == result.fields.end() ? nullptr : &at->second;
}

}  // namespace

event_request make_request(const cloud_event& event, config::event_delivery how, std::string_view function,
                           std::uint64_t random_a, std::uint64_t random_b, std::uint64_t random_c) {
  const auto mode = how == config::event_delivery::structured ? content_mode::structured : content_mode::binary;
  auto message = write_http(event, mode);
  http::request_head head;
  head.method = "POST";
  head.target = "/";
  head.body = http::framing::length;
  head.content_length = message.body.size();
  for (const auto& [name, value] : message.headers) head.fields.push_back({name, value, http::known::other});
  const auto trace = attribute(event, "traceparent");
  if (trace) head.fields.push_back({"traceparent", *trace, http::known::traceparent});
  std::string id;
  std::string parent;
  http::forward_info info;
  info.target = "/";
  info.fallback_host = function;
  info.request_id = http::choose_request_id(head, random_a, random_b, id);
  info.traceparent = http::choose_traceparent(head, random_a, random_b, random_c, parent);
  event_request out;
  http::compose_request(out.head, head, info);
  out.body = std::move(message.body);
  return out;
}

verdict judge(const delivery_result& result) noexcept {
  using kind = delivery_result::kind;
  if (result.how == kind::refused) return verdict::refused;
  if (result.how != kind::answered) return verdict::retry;
  const auto status = result.status;
  if (status >= 200 && status < 300) return verdict::done;
  const bool again = status == 404 || status == 408 || status == 409 || status == 429 || status >= 500;
  return again ? verdict::retry : verdict::hopeless;
}

std::chrono::milliseconds retry_after_of(const delivery_result& result) noexcept {
  const auto* const value = result.how == delivery_result::kind::answered ? field_of(result, "retry-after") : nullptr;
  std::uint32_t seconds = 0;
  if (value) std::from_chars(value->data(), value->data() + value->size(), seconds);
  return std::chrono::seconds(seconds);
}

std::string describe(const delivery_result& result) {
  if (result.how != delivery_result::kind::answered) return result.detail;
  std::string out = "the function answered " + std::to_string(result.status);
  if (result.body.empty()) return out;
  return out + ": " + config::shown(std::string_view(result.body).substr(0, shown_of_reply));
}

result<std::vector<cloud_event>> events_in_reply(const delivery_result& reply) {
  std::vector<header_view> headers;
  bool is_event = false;
  for (const auto& [name, value] : reply.fields) headers.push_back({name, value});
  if (const auto* const type = field_of(reply, "content-type")) is_event = mode_of(*type) != content_mode::binary;
  is_event = is_event || field_of(reply, "ce-specversion") != nullptr || field_of(reply, "ce-id") != nullptr;
  if (!is_event) return std::vector<cloud_event>();
  return parse_http(headers, reply.body);
}

}  // namespace rouse::gateway::events
