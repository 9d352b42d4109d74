/* wav.h - the little of RIFF/WAVE that the examples need: 16-bit PCM in and out. */
#ifndef EXAMPLES_WAV_H
#define EXAMPLES_WAV_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct wav {
    FILE *file;
    uint32_t rate, channels, frames; /* frames: what is left to read, or was written */
} wav;

static inline uint32_t wav_u32(const uint8_t *b) { return b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24; }

/* Opens a file for reading; 0 when it is a 16-bit PCM WAV. */
static inline int wav_open(wav *w, const char *path)
{
    uint8_t head[12], chunk[8], fmt[16];
    int known = 0;
    memset(w, 0, sizeof *w);
    if (!(w->file = fopen(path, "rb")) || fread(head, 12, 1, w->file) != 1 || memcmp(head + 8, "WAVE", 4)) return -1;
    while (fread(chunk, 8, 1, w->file) == 1) {
        uint32_t size = wav_u32(chunk + 4);
        if (!memcmp(chunk, "data", 4)) {
            w->frames = known ? size / (2 * w->channels) : 0;
            return known ? 0 : -1;
        }
        if (!memcmp(chunk, "fmt ", 4) && size >= 16) {
            if (fread(fmt, 16, 1, w->file) != 1) return -1;
            w->channels = fmt[2];
            w->rate = wav_u32(fmt + 4);
            known = fmt[0] == 1 && fmt[14] == 16 && w->channels > 0;
            size -= 16;
        }
        if (fseek(w->file, size + (size & 1), SEEK_CUR)) return -1;
    }
    return -1;
}

/* Reads up to `frames` frames; fewer at the end. */
static inline uint32_t wav_read(wav *w, int16_t *pcm, uint32_t frames)
{
    if (frames > w->frames) frames = w->frames;
    frames = (uint32_t)fread(pcm, 2 * w->channels, frames, w->file);
    w->frames -= frames;
    return frames;
}

/* Writes the header; once at the start and, with the true length, again at the end. */
static inline void wav_header(wav *w)
{
    uint32_t bytes = w->frames * w->channels * 2, riff = bytes + 36, sixteen = 16, rate = w->rate;
    uint32_t per_second = w->rate * w->channels * 2;
    uint16_t pcm = 1, channels = (uint16_t)w->channels, align = (uint16_t)(w->channels * 2), bits = 16;
    rewind(w->file);
    fwrite("RIFF", 4, 1, w->file), fwrite(&riff, 4, 1, w->file), fwrite("WAVEfmt ", 8, 1, w->file);
    fwrite(&sixteen, 4, 1, w->file), fwrite(&pcm, 2, 1, w->file), fwrite(&channels, 2, 1, w->file);
    fwrite(&rate, 4, 1, w->file), fwrite(&per_second, 4, 1, w->file), fwrite(&align, 2, 1, w->file);
    fwrite(&bits, 2, 1, w->file), fwrite("data", 4, 1, w->file), fwrite(&bytes, 4, 1, w->file);
}

static inline int wav_create(wav *w, const char *path, uint32_t rate, uint32_t channels)
{
    memset(w, 0, sizeof *w);
    w->rate = rate;
    w->channels = channels;
    if (!(w->file = fopen(path, "wb"))) return -1;
    wav_header(w);
    return 0;
}

static inline void wav_write(wav *w, const int16_t *pcm, uint32_t frames)
{
    w->frames += (uint32_t)fwrite(pcm, 2 * w->channels, frames, w->file);
}

static inline void wav_close(wav *w, int written)
{
    if (!w->file) return;
    if (written) wav_header(w);
    fclose(w->file);
    w->file = NULL;
}

#endif
