# Faults planted in the CUDA kernels, one at a time: the text of a header is changed, and test_cuda has to find it.
set(cuda ${PROJECT_SOURCE_DIR}/kernels/cuda)
file(GLOB cuda_headers ${cuda}/*.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${cuda_headers})

function(plant name file from to found)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/faults/${name})
  file(COPY ${cuda_headers} DESTINATION ${folder})
  file(READ ${cuda}/${file} text)
  string(REPLACE "${from}" "${to}" changed "${text}")
  if(text STREQUAL changed)
    message(FATAL_ERROR "faults.cmake: ${file} no longer has \"${from}\"")
  endif()
  file(WRITE ${folder}/${file} "${changed}")
  add_executable(fault_${name} test_cuda.cc)
  target_compile_definitions(fault_${name} PRIVATE TFKM_TINY)
  target_compile_options(fault_${name} PRIVATE -O1 -Wno-unknown-pragmas)
  target_include_directories(fault_${name} PRIVATE ${folder} ${PROJECT_SOURCE_DIR}/kernels/core ${CMAKE_CURRENT_SOURCE_DIR})
  add_test(NAME fault_${name} COMMAND fault_${name})
  set_tests_properties(fault_${name} PROPERTIES PASS_REGULAR_EXPRESSION "${found}")
endfunction()

plant(no_barrier_in_tile tile.h "if (more) loader.store(memory, buffer);\n        __syncthreads();"
      "if (more) loader.store(memory, buffer);" "a race")
plant(no_barrier_in_fragments fragments.h "if (more) loader.store(memory, buffer);\n        __syncthreads();"
      "if (more) loader.store(memory, buffer);" "a race")
plant(no_barrier_before_join screen.h "      shares.labels.set(at, nearest[m].label);\n    }\n    __syncthreads();"
      "      shares.labels.set(at, nearest[m].label);\n    }" "a race")
plant(no_barrier_before_candidates screen.h "      __syncthreads();\n      try_candidates" "      try_candidates" "a race")
plant(no_barrier_of_octet screen.h "    __syncwarp(octet_mask());\n" "" "a race")
plant(no_barrier_before_lists sums.h "group.add(i, labels.get(i));\n  __syncthreads();" "group.add(i, labels.get(i));" "a race")
plant(barrier_for_some screen.h "    if (job.splits > 1) continue;\n    measure(job, found);\n    __syncthreads();"
      "    if (job.splits > 1) continue;\n    measure(job, found);\n    if (found.labels.get(threadIdx.x % 32) >= 0) __syncthreads();"
      "divergent")
plant(tail_of_points screen.h "found.rows.set(i, base + i < job.n ?" "found.rows.set(i, base + i + 1 < job.n ?" "wrong ")
plant(tail_of_features tile.h "row != kNoRow && j < job.d ?" "row != kNoRow && j + 1 < job.d ?" "wrong ")
plant(tail_of_centroids screen.h "(job.k + Tile::kColumns - 1) / Tile::kColumns, split"
      "(job.k + Tile::kColumns - 2) / Tile::kColumns, split" "wrong ")
plant(tail_of_distance warp.h "if (j >= d) break;" "if (j >= d - 1) break;" "wrong ")
plant(tie_rule screen.h "if (sq < least)" "if (sq <= least)" "wrong label")
plant(no_margin screen.h "nearest.second - nearest.best > room" "nearest.second > nearest.best" "wrong label")
plant(no_margin_for_bfloat16 margin.h "return margin + T(1.05) * 4" "return margin + T(0) * 4" "wrong label")
plant(sums_that_round sums.h "__dsub_rn(__dadd_rn(term, by.coarse), by.coarse)" "term" "wrong (sum|weight|inertia)")
plant(fragment_order fragments.h "row(2 * m + i % 2)) * kStride + q + i / 2 * 4" "row(2 * m + i / 2)) * kStride + q + i % 2 * 4" "wrong label")
