// Order clips from the emulator with Runware's JavaScript SDK, `@runware/sdk-js`, and print what came of it as JSON.
const { Runware } = require("@runware/sdk-js");

async function main(url, orders) {
  const runware = new Runware({ url, apiKey: "a-key", shouldReconnect: false });
  await runware.ensureConnection();
  const results = [];
  for (const { taskType, ...order } of orders) {
    try {
      const result = await runware.videoInference({ ...order, deliveryMethod: "async", retry: 1 });
      results.push({ url: (Array.isArray(result) ? result[0] : result).videoURL });
    } catch (error) {
      results.push({ message: (error.error ?? error).message });
    }
  }
  console.log(JSON.stringify(results));
  process.exit(0);
}

main(process.argv[2], JSON.parse(process.argv[3]));
