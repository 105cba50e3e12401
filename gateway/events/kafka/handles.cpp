#include "gateway/events/kafka/handles.hpp"

namespace rouse::gateway::events {

namespace {

constexpr std::size_t most_headers = 1000;

std::vector<kafka_header> headers_of(const rd_kafka_message_t& message) {
  std::vector<kafka_header> out;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return out;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; i < most_headers; ++i) {
    if (rd_kafka_header_get_all(headers, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) break;
    kafka_header one{name, std::nullopt};
    if (value) one.value = std::string_view(static_cast<const char*>(value), size);
    out.push_back(one);
  }
  return out;
}

std::string with(std::string text, std::string_view detail) {
  if (!detail.empty()) text.append(": ").append(detail);
  return text;
}

}  // namespace

std::string words_of(rd_kafka_resp_err_t error, std::string_view what, std::string_view detail) {
  const std::string name(what);
  switch (error) {
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
      return with("no broker of the cluster answers; it is tried again", detail);
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      return with("the cluster does not accept the credentials (see `properties`: sasl.*)", detail);
    case RD_KAFKA_RESP_ERR__SSL:
      return with("no TLS connection to the cluster could be made (see `properties`: ssl.*)", detail);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      return "topic " + name + " does not exist on this cluster: create it, or mend `topics`";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      return "the cluster does not allow this user to read topic " + name;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return "the cluster does not allow this user to be in group " + name;
    default:
      return with(rd_kafka_err2str(error), detail);
  }
}

read_record read_message(const rd_kafka_message_t& message) {
  const auto headers = headers_of(message);
  raw_record raw;
  raw.topic = rd_kafka_topic_name(message.rkt);
  raw.partition = message.partition;
  raw.offset = message.offset;
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const auto ms = rd_kafka_message_timestamp(&message, &type);
  if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && ms >= 0) raw.written.emplace(std::chrono::milliseconds(ms));
  if (message.key) raw.key.emplace(static_cast<const char*>(message.key), message.key_len);
  if (message.payload) raw.value.emplace(static_cast<const char*>(message.payload), message.len);
  raw.headers = headers;
  read_record out;
  out.offset = message.offset;
  out.written = raw.written.value_or(std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()));
  if (raw.key) out.key.emplace(*raw.key);
  out.what = event_of(raw);
  return out;
}

}  // namespace rouse::gateway::events
