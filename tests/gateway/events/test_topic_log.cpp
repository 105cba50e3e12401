// What an event is on a topic: its key is what `order: key` goes by on an embedded bus.
#include <catch2/catch.hpp>

#include "gateway/events/topic_log.hpp"

using namespace rouse::gateway::events;

namespace {

cloud_event event_with(std::map<std::string, std::string> attributes) {
  cloud_event out;
  out.id = "1";
  out.source = "/s";
  out.type = "t";
  for (auto& [name, value] : attributes) {
    if (name == "subject") {
      out.subject = value;
    } else {
      out.extensions[name].value = value;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("the key of a record") {
  CHECK_FALSE(record_of(event_with({})).key);
  CHECK(record_of(event_with({{"subject", "s"}})).key == "s");
  CHECK(record_of(event_with({{"subject", "s"}, {"partitionkey", "p"}})).key == "p");
  CHECK(record_of(event_with({{"subject", "s"}, {"partitionkey", ""}})).key == "");
  // A record that was wrapped goes on under the key that it had.
  CHECK(record_of(event_with({{"kafkakey", "k"}})).key == "k");
  CHECK(record_of(event_with({{"kafkakeybase64", "AP8="}})).key == std::string("\0\xFF", 2));
  CHECK_FALSE(record_of(event_with({{"kafkakeybase64", "?"}})).key);
}

TEST_CASE("an event is a record in binary mode, without data a null value") {
  auto event = event_with({{"size", "xl"}});
  auto record = record_of(event);
  CHECK_FALSE(record.value);
  header_list const wanted{
      {"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/s"}, {"ce_type", "t"}, {"ce_size", "xl"}};
  CHECK(record.headers == wanted);
  event.kind = data_kind::opaque;
  CHECK(record_of(event).value == "");
  event.data = "x";
  event.datacontenttype = "text/plain";
  record = record_of(event);
  CHECK(record.value == "x");
  CHECK(record.headers.front() == std::pair<std::string, std::string>("content-type", "text/plain"));
}
