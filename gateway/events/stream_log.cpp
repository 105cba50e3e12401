#include "gateway/events/stream_log.hpp"

#include <utility>

#include "gateway/events/cloudevents/storage.hpp"

namespace rouse::gateway::events {

append_result result_of(const store_error& error) {
  using kind = append_result::kind;
  append_result out;
  out.problem = error.text;
  switch (error.code) {
    case store_errc::busy:
    case store_errc::limit:
      out.how = kind::busy;
      break;
    case store_errc::storage_full:
      out.how = kind::full;
      break;
    case store_errc::closed:
      out.how = kind::closed;
      break;
    default:
      out.how = kind::broken;
      break;
  }
  return out;
}

void stream_log::append(std::vector<cloud_event> events, append_done then) {
  std::vector<std::string> encoded;
  encoded.reserve(events.size());
  for (const auto& event : events) encoded.push_back(encode(event));
  append_encoded(std::move(encoded), std::move(then));
}

void stream_log::append_encoded(std::vector<std::string> events, append_done then) {
  store_.append(stream_, std::move(events), [then = std::move(then)](const store_result<appended>& result) {
    then(result ? append_result() : result_of(result.error()));
  });
}

}  // namespace rouse::gateway::events
