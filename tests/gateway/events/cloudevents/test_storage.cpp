// The form in which events are kept.
#include "gateway/events/cloudevents/storage.hpp"
#include "support.hpp"

using namespace events_test;
using namespace std::string_literals;

TEST_CASE("the stored form of version 1 stays as it is") {
  cloud_event event = plain_event();
  event.subject = "s";
  event.extensions["n"] = {"5", extension_type::integer};
  event.kind = data_kind::text;
  event.data = "hi";
  const std::string bytes =
      "\x01\x02"
      "42\x08/shop/eu\x13"
      "com.shop.order.paid\x04\x01s\x01\x01n\x01\x01"
      "5\x03\x02hi"s;
  CHECK(encode(event) == bytes);
  CHECK(decode(bytes) == event);
}

TEST_CASE("every kind and large data come back") {
  cloud_event event = plain_event();
  for (data_kind const kind : {data_kind::opaque, data_kind::json, data_kind::text, data_kind::binary}) {
    event.kind = kind;
    for (std::size_t const size : {0, 1, 127, 128, 16'383, 16'384, 3'000'000}) {
      event.data.assign(size, '1');
      CHECK(decode(encode(event)) == event);
    }
  }
}

TEST_CASE("what is damaged is nothing, and never more than valid") {
  cloud_event const plain = plain_event();
  const std::string bytes = encode(plain);
  CHECK_FALSE(decode(""));
  CHECK_FALSE(decode(bytes + "x"));
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(decode(bytes.substr(0, size)));
  CHECK_FALSE(decode("\x02" + bytes.substr(1)));
  CHECK_FALSE(decode("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s));  // a length beyond everything
  CHECK_FALSE(decode("\x01\x81\x00"s + bytes.substr(1)));                // a length in a longer form
  cloud_event wrong = plain;
  wrong.extensions["Name"];
  CHECK_FALSE(decode(encode(wrong)));
  wrong = plain;
  wrong.extensions["id"] = {"7"};
  CHECK_FALSE(decode(encode(wrong)));
  wrong = plain;
  wrong.datacontenttype = "a/b\r\nx: y";
  CHECK_FALSE(decode(encode(wrong)));
}

TEST_CASE("random damage is survived") {
  std::mt19937 random(5);
  event_source source(6);
  std::size_t survived = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = encode(source.next());
    for (std::size_t left = 1 + random() % 4; left > 0; --left) {
      std::size_t const at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ 1 << random() % 8);
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(random()));
          break;
        default:
          bytes.erase(at, 1 + random() % 4);
      }
      if (bytes.empty()) bytes = "x";
    }
    auto const event = decode(bytes);
    if (!event) continue;
    ++survived;
    // One form for each event, and nothing that could break out of a header.
    REQUIRE(encode(*event) == bytes);
    cloud_event checked = *event;
    if (checked.kind == data_kind::json || checked.kind == data_kind::text) checked.kind = data_kind::binary;
    REQUIRE_FALSE(validate(checked));
  }
  CHECK(survived > 1000);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 3 == 0 ? random() : random() % 5);
    if (auto const event = decode(bytes)) CHECK(encode(*event) == bytes);
  }
}
