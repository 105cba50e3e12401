#include "activator/backend/kubernetes/lease.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

namespace rouse::kubernetes {

lease_book::next lease_book::next_step(time_point now, wall clock) const {
  next out;
  if (now < not_before_) {
    out.at = not_before_;
    return out;
  }
  if (stale_) {
    out.what = step::read;
    return out;
  }
  lease_record made;
  made.holder = identity_;
  made.seconds = static_cast<int>(duration.count());
  made.renewed = micro_time(clock);
  made.acquired = made.renewed;
  if (!known_) {
    out.what = step::create;
    out.record = std::move(made);
    return out;
  }
  if (held_) {
    if (now < renewed_ + renew_every) {
      out.at = renewed_ + renew_every;
      return out;
    }
  } else if (!has_lapsed(now)) {
    if (now >= looked_ + look_every) {
      out.what = step::read;
    } else {
      out.at = std::min(looked_ + look_every, changed_ + std::chrono::seconds(std::max(known_->seconds, 1)));
    }
    return out;
  }
  made.version = known_->version;
  made.transitions = known_->transitions;
  if (known_->holder == identity_) {
    made.acquired = known_->acquired;
  } else {
    ++made.transitions;
  }
  out.what = step::update;
  out.record = std::move(made);
  return out;
}

bool lease_book::has_lapsed(time_point now) const {
  if (known_->holder.empty() || known_->holder == identity_) return true;
  return now >= changed_ + std::chrono::seconds(std::max(known_->seconds, 1));
}

void lease_book::read(std::optional<lease_record> record, time_point now) {
  stale_ = false;
  looked_ = now;
  if (!read_ || record != known_) changed_ = now;
  read_ = true;
  known_ = std::move(record);
  if (!known_ || known_->holder != identity_) held_ = false;
}

void lease_book::wrote(lease_record record, std::string version, time_point sent) {
  record.version = std::move(version);
  known_ = std::move(record);
  changed_ = looked_ = renewed_ = sent;
  read_ = held_ = true;
  stale_ = false;
}

std::optional<lease_record> lease_book::release(wall clock) const {
  if (!held_ || !known_ || stale_) return std::nullopt;
  lease_record out = *known_;
  out.holder.clear();
  out.seconds = 1;
  out.renewed = micro_time(clock);
  return out;
}

std::optional<lease_record> parse_lease(std::string_view text) {
  const auto all = nlohmann::json::parse(text, nullptr, false);
  if (!all.is_object() || !all.contains("metadata")) return std::nullopt;
  const auto word = [](const nlohmann::json& map, const char* key) {
    return map.contains(key) && map[key].is_string() ? map[key].get<std::string>() : std::string();
  };
  const auto number = [](const nlohmann::json& map, const char* key) {
    return map.contains(key) && map[key].is_number_integer() ? map[key].get<int>() : 0;
  };
  lease_record out;
  out.version = word(all["metadata"], "resourceVersion");
  if (!all.contains("spec") || !all["spec"].is_object()) return out;
  const auto& spec = all["spec"];
  out.holder = word(spec, "holderIdentity");
  out.seconds = number(spec, "leaseDurationSeconds");
  out.acquired = word(spec, "acquireTime");
  out.renewed = word(spec, "renewTime");
  out.transitions = number(spec, "leaseTransitions");
  return out;
}

std::string write_lease(const lease_record& record, const std::string& name, const std::string& name_space) {
  nlohmann::json meta{{"name", name}, {"namespace", name_space}};
  if (!record.version.empty()) meta["resourceVersion"] = record.version;
  nlohmann::json spec{{"holderIdentity", record.holder},
                      {"leaseDurationSeconds", record.seconds},
                      {"renewTime", record.renewed},
                      {"leaseTransitions", record.transitions}};
  if (!record.acquired.empty()) spec["acquireTime"] = record.acquired;
  return nlohmann::json{{"apiVersion", "coordination.k8s.io/v1"},
                        {"kind", "Lease"},
                        {"metadata", std::move(meta)},
                        {"spec", std::move(spec)}}
      .dump();
}

std::string micro_time(std::chrono::system_clock::time_point at) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  const std::time_t seconds = micros / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(micros % 1'000'000));
  return text;
}

}  // namespace rouse::kubernetes
