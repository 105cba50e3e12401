#include "gateway/events/kafka/record.hpp"

#include <array>
#include <cstdio>
#include <ctime>
#include <limits>

#include "config/text.hpp"
#include "gateway/events/cloudevents/base64.hpp"
#include "gateway/events/cloudevents/media_type.hpp"
#include "gateway/events/cloudevents/rules.hpp"

namespace rouse::gateway::events {

namespace {

/// RFC 3339 in UTC, with milliseconds.
std::string time_text(std::chrono::sys_time<std::chrono::milliseconds> at) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  // A producer writes any time it likes; to_time_t would go through nanoseconds, which do not hold all of them.
  const auto time = static_cast<std::time_t>(seconds.time_since_epoch().count());
  std::tm parts{};
  if (!gmtime_r(&time, &parts)) return {};
  std::array<char, 64> out{};
  const auto n = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(out.data() + n, out.size() - n, ".%03dZ", static_cast<int>((at - seconds).count()));
  return out.data();
}

bool is_attribute_text(std::string_view text) {
  return !text.empty() && config::first_invalid_utf8(text) == std::string_view::npos &&
         !detail::check_value("kafkakey", text, extension_type::string);
}

void put_json_string(std::string& to, std::string_view text) {
  to.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to.push_back('\\');
      to.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> out{};
      std::snprintf(out.data(), out.size(), "\\u%04x", static_cast<unsigned char>(c));
      to += out.data();
    } else {
      to.push_back(c);
    }
  }
  to.push_back('"');
}

/// Bytes that are not text go as {"base64": ...}, so that none is lost.
void put_json_bytes(std::string& to, std::string_view bytes) {
  if (config::first_invalid_utf8(bytes) == std::string_view::npos) return put_json_string(to, bytes);
  to += R"({"base64":)";
  put_json_string(to, detail::encode_base64(bytes));
  to.push_back('}');
}

std::string headers_json(std::span<const kafka_header> headers) {
  std::string out = "[";
  for (const auto& [name, value] : headers) {
    if (out.size() > 1) out.push_back(',');
    out.push_back('[');
    put_json_bytes(out, name);
    out.push_back(',');
    if (value) {
      put_json_bytes(out, *value);
    } else {
      out += "null";
    }
    out.push_back(']');
  }
  out.push_back(']');
  return out;
}

void set_text(cloud_event& event, const char* name, std::string value) {
  event.extensions[name] = extension{std::move(value), extension_type::string};
}

/// Not that of an event: sent on as it is, the data would be taken for the event itself.
std::string content_type_of(std::span<const kafka_header> headers) {
  for (const auto& [name, value] : headers) {
    if (!value || config::lower(name) != "content-type" || mode_of(*value) != content_mode::binary) continue;
    if (!detail::check_value("datacontenttype", *value, extension_type::string)) return std::string(*value);
  }
  return "application/octet-stream";
}

/// The broker bounded the record; nothing that it took is too large here.
event_limits record_limits() {
  event_limits out;
  out.most_bytes = std::numeric_limits<std::size_t>::max() / 2;
  return out;
}

}  // namespace

std::string place_of(std::string_view topic, std::int32_t partition, std::int64_t offset) {
  return std::string(topic) + '/' + std::to_string(partition) + '/' + std::to_string(offset);
}

cloud_event wrapped(const raw_record& record) {
  cloud_event out;
  out.id = "partition:" + std::to_string(record.partition) + "/offset:" + std::to_string(record.offset);
  out.source = "/kafka/" + std::string(record.topic);
  out.type = "dev.rouse.kafka.record";
  if (record.written) {
    auto text = time_text(*record.written);
    if (detail::is_timestamp(text)) out.time = std::move(text);
  }
  set_text(out, "kafkatopic", std::string(record.topic));
  out.extensions["kafkapartition"] = extension{std::to_string(record.partition), extension_type::integer};
  set_text(out, "kafkaoffset", std::to_string(record.offset));
  if (record.key && is_attribute_text(*record.key)) {
    set_text(out, "kafkakey", std::string(*record.key));
  } else if (record.key && !record.key->empty()) {
    set_text(out, "kafkakeybase64", detail::encode_base64(*record.key));
  }
  if (!record.headers.empty()) {
    auto text = headers_json(record.headers);
    // JSON holds noncharacters, and an attribute does not: then they go the long way.
    if (is_attribute_text(text))
      set_text(out, "kafkaheaders", std::move(text));
    else
      set_text(out, "kafkaheadersbase64", detail::encode_base64(text));
  }
  if (record.value) {
    out.datacontenttype = content_type_of(record.headers);
    out.kind = data_kind::opaque;
    out.data = std::string(*record.value);
  }
  return out;
}

record_event event_of(const raw_record& record) {
  record_event out;
  if (!mode_of(record.headers)) {
    out.event = wrapped(record);
    return out;
  }
  static const event_limits limits = record_limits();
  if (auto parsed = parse_kafka(record.headers, record.value, limits)) {
    out.event = *std::move(parsed);
    return out;
  } else {
    out.unreadable = "the record says that it is a CloudEvent, and is none that is valid: " + parsed.error().message;
  }
  out.event = wrapped(record);
  return out;
}

}  // namespace rouse::gateway::events
