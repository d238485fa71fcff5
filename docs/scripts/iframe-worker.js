// A browser starts no worker from disk (file:), and the search of the site needs one. This stands in for it: the
// script of the worker runs in a hidden frame of the page. It does nothing where the site comes from a server.
"use strict";

if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #ready;
    #handlers = {};

    constructor(address) {
      super();
      this.#frame.hidden = true;
      document.body.append(this.#frame);
      const inside = this.#frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", {data: structuredClone(data)}));
      const script = inside.document.createElement("script");
      script.src = new URL(address, location.href);
      this.#ready = new Promise((done) => script.addEventListener("load", done));
      script.addEventListener("error", () => this.dispatchEvent(new ErrorEvent("error")));
      inside.document.head.append(script);
    }

    postMessage(data) {
      const message = new MessageEvent("message", {data: structuredClone(data)});
      this.#ready.then(() => this.#frame.contentWindow.dispatchEvent(message));
    }

    terminate() {
      this.#frame.remove();
    }

    #handle(name, handler) {
      this.removeEventListener(name, this.#handlers[name]);
      this.#handlers[name] = handler;
      if (handler) this.addEventListener(name, handler);
    }

    set onmessage(handler) {
      this.#handle("message", handler);
    }

    set onerror(handler) {
      this.#handle("error", handler);
    }
  };
}
