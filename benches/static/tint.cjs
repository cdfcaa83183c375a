// Has Tint, the shader compiler of Chromium's WebGPU, compile each WGSL file of a folder: node tint.cjs MODULES DIRECTORY.
// MODULES is where the npm package `webgpu` is. Prints on stderr `=== NAME`, what Tint has against it, `=== end`.
const fs = require("fs"), path = require("path");
const [modules, folder] = process.argv.slice(2);
const { create, globals } = require(path.join(path.resolve(modules), "webgpu"));
Object.assign(globalThis, globals);

async function main() {
  globalThis.gpu = create(["backend=vulkan"]); // kept from the collector, with which all promises would end
  const adapter = await gpu.requestAdapter();
  const limits = {};
  for (const name in Object.getPrototypeOf(adapter.limits)) {
    if (/^max(Compute|StorageBuffer|StorageBuffersPer|Buffer)/.test(name)) limits[name] = adapter.limits[name];
  }
  const wanted = ["subgroups", "shader-f16"].filter((f) => adapter.features.has(f));
  globalThis.device = await adapter.requestDevice({ requiredFeatures: wanted, requiredLimits: limits });
  for (const file of fs.readdirSync(folder).filter((f) => f.endsWith(".wgsl")).sort()) {
    console.error(`=== ${file.slice(0, -5)}`);
    device.pushErrorScope("validation");
    let code = fs.readFileSync(path.join(folder, file), "utf8");
    // naga knows no such line. (wgpu asks no browser for subgroups, so these kernels do not get there yet.)
    if (/\bsubgroup[A-Z_]/.test(code)) code = `enable subgroups; ${code}`;
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    for (const m of messages) console.error(`${m.type} ${m.lineNum}:${m.linePos} ${m.message}`);
    // Devices that bind more buffers than this one get larger kernels: of those no pipeline can be made here.
    const fits = (code.match(/var<storage/g) ?? []).length <= device.limits.maxStorageBuffersPerShaderStage;
    if (fits && !messages.some((m) => m.type == "error")) {
      device.createComputePipeline({ layout: "auto", compute: { module } });
    }
    const error = await device.popErrorScope();
    if (error && !messages.some((m) => m.type == "error")) console.error(`error ${error.message}`);
    console.error("=== end");
  }
  process.exit(0); // the device would keep the process alive
}
main();
