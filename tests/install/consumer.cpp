#include <lexiscope/engine.h>

#include <cstdio>
#include <vector>

int main() {
  const auto engine = lexiscope::make_engine(lexiscope::available_engines().front());
  std::vector<float> x{1, 2, 3, 4}, gain(4, 1.0f), y(4);
  engine->layer_norm({.x = {x.data(), 1, 4, 4}, .gain = {gain.data(), 4}, .y = {y.data(), 1, 4, 4}});
  std::printf("%g %g %g %g\n", y[0], y[1], y[2], y[3]);
  return y[0] < -1.34f && y[0] > -1.35f && y[3] == -y[0] ? 0 : 1;
}
