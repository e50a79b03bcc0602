// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Times oneDNN's own LRN for tools/benchmarks/lrn.py:
//   lrn_onednn batch height width channels float32|bfloat16
// The first line of output names the implementations that it runs. Then, for
// every line of standard input, `forward` or `backward`, it runs that once and
// prints the milliseconds that it took.

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <unordered_map>

#include "dnnl.hpp"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  using dnnl::memory;
  const memory::dims dims = {std::atoi(argv[1]), std::atoi(argv[4]),
                             std::atoi(argv[2]), std::atoi(argv[3])};
  const bool narrow = std::strcmp(argv[5], "bfloat16") == 0;
  const memory::desc layout(
      dims, narrow ? memory::data_type::bf16 : memory::data_type::f32,
      memory::format_tag::nhwc);

  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto algorithm = dnnl::algorithm::lrn_across_channels;
  // oneDNN divides alpha by the size of the window.
  const int size = 5;
  const float alpha = 1e-4f * size, beta = 0.75f, k = 2.0f;
  const dnnl::lrn_forward::primitive_desc forward_desc(
      {dnnl::prop_kind::forward_training, algorithm, layout, size, alpha, beta,
       k},
      engine);
  const dnnl::lrn_backward::primitive_desc backward_desc(
      {algorithm, layout, layout, size, alpha, beta, k}, engine, forward_desc);
  const dnnl::lrn_forward forward(forward_desc);
  const dnnl::lrn_backward backward(backward_desc);

  memory x(layout, engine), y(layout, engine), dy(layout, engine),
      dx(layout, engine), workspace(forward_desc.workspace_desc(), engine);
  for (memory* m : {&x, &y, &dy, &dx}) {
    // Fills the memory with 1.0 in either type.
    const std::size_t count = layout.get_size() / (narrow ? 2 : 4);
    for (std::size_t i = 0; i < count; ++i) {
      if (narrow) {
        static_cast<std::uint16_t*>(m->get_data_handle())[i] = 0x3f80;
      } else {
        static_cast<float*>(m->get_data_handle())[i] = 1.0f;
      }
    }
  }

  std::cout << forward_desc.impl_info_str() << ' '
            << backward_desc.impl_info_str() << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto start = std::chrono::steady_clock::now();
    if (line == "forward") {
      forward.execute(stream, {{DNNL_ARG_SRC, x},
                               {DNNL_ARG_DST, y},
                               {DNNL_ARG_WORKSPACE, workspace}});
    } else {
      backward.execute(stream, {{DNNL_ARG_SRC, x},
                                {DNNL_ARG_DIFF_DST, dy},
                                {DNNL_ARG_DIFF_SRC, dx},
                                {DNNL_ARG_WORKSPACE, workspace}});
    }
    stream.wait();
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - start;
    std::cout << took.count() << std::endl;
  }
}
