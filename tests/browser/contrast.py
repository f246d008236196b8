"""Whether what a page says can be read."""

from __future__ import annotations

# Contrast of text to what is behind it, by WCAG 2.2, 1.4.3; pairs that are too low come back.
# What moves is looked at as it is at rest.
LOW_CONTRAST = """() => {
  document.getAnimations().forEach((animation) => animation.cancel());
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (parts) => {
    const [r, g, b] = parts.map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const coloursOf = (element) => {
    const [r, g, b, alpha] = read(getComputedStyle(element).color);
    let opacity = alpha / 255;
    for (let each = element; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      const ground = read(style.backgroundColor);
      if (ground[3] === 255) {
        return [[r, g, b].map((part, i) => ground[i] + opacity * (part - ground[i])), ground];
      }
      opacity *= style.opacity;
    }
    throw new Error("the page has no ground");
  };
  const ownText = (element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll("*")]
    .filter((element) => element.checkVisibility() && ownText(element))
    .map((element) => {
      const pair = coloursOf(element);
      const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
      return [element.textContent.trim(), ...pair.map(String), (light + 0.05) / (dark + 0.05)];
    })
    .filter(([, , , contrast]) => contrast < 4.5);
}"""
