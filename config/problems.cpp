#include "config/problems.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace rouse::config {

std::vector<problem> problem_list::take() {
  std::map<std::string, std::size_t, std::less<>> file_order;
  for (const problem& p : found_) file_order.emplace(p.file, file_order.size());
  using sort_key = std::tuple<std::size_t, int, int, const std::string&>;
  auto const key = [&](const problem& p) -> sort_key {
    return {file_order.find(p.file)->second, p.line, p.column, p.message};
  };
  auto const before = [&](const problem& a, const problem& b) { return key(a) < key(b); };
  auto const same = [](const problem& a, const problem& b) {
    return a.line == b.line && a.column == b.column && a.file == b.file && a.message == b.message;
  };
  std::stable_sort(found_.begin(), found_.end(), before);
  found_.erase(std::unique(found_.begin(), found_.end(), same), found_.end());
  return std::exchange(found_, {});
}

}  // namespace rouse::config
