import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: { outDir: "../dist", emptyOutDir: true, target: "esnext", rollupOptions: { input: ["index.html", "agent.html"] } },
});
