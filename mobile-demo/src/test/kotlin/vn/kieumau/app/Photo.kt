package vn.kieumau.app

import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import javax.imageio.ImageIO

/** A JPEG of a grey wall in [folder], the same bytes each time. */
fun photo(folder: Path): Path {
    val path = folder.resolve("photo.jpg")
    val wall = BufferedImage(16, 16, BufferedImage.TYPE_INT_RGB)
    wall.setRGB(0, 0, 16, 16, IntArray(256) { 0x808080 + it }, 0, 16)
    Files.newOutputStream(path).use { check(ImageIO.write(wall, "jpeg", it)) { "no JPEG writer" } }
    return path
}
