package vn.kieumau.app

import org.junit.jupiter.api.Assumptions.assumeTrue
import java.io.BufferedReader
import java.nio.file.Path
import java.util.concurrent.TimeUnit

/** A real server: `kieumau demo` on a port of its own, with the data in [folder]. */
class DemoServer private constructor(private val binary: String, private val folder: Path) : AutoCloseable {
    private val process = started("demo", "--data", folder.toString(), "--listen", "127.0.0.1:0", "--json")
    private val output: BufferedReader = process.inputReader()

    /** Where it is. */
    val url: String = field(output.readLine() ?: died(), "url")

    /** A fresh enrolment code for the person who signs in as [person]. */
    fun code(person: String): String = field(said("phone", "code", "--person", person, "--json"), "code")

    /** The text of the QR of a fresh code. */
    fun qr(person: String): String = field(said("phone", "code", "--person", person, "--json"), "qr")

    /** Says that a backup holds all that the log has now. */
    fun backUp() {
        val (leaves) = Regex(", (\\d+) leaves").find(said("backed-up"))!!.destructured
        said("backed-up", "--through", leaves)
    }

    private fun said(vararg words: String): String {
        val asked = started(*words, "--data", folder.toString())
        val text = asked.inputReader().readText()
        check(asked.waitFor() == 0) { "`kieumau ${words.joinToString(" ")}` ended with ${asked.exitValue()}" }
        return text
    }

    override fun close() {
        process.destroy()
        if (!process.waitFor(10, TimeUnit.SECONDS)) process.destroyForcibly()
    }

    private fun started(vararg arguments: String): Process =
        ProcessBuilder(binary, *arguments).redirectError(ProcessBuilder.Redirect.INHERIT).start()

    private fun died(): Nothing = error("`kieumau demo` ended with ${process.waitFor()} before it said where it is")

    // The two lines are one flat object each, so no JSON library is worth its weight here.
    private fun field(json: String, name: String): String =
        Regex("\"$name\"\\s*:\\s*\"([^\"\\\\]+)\"").find(json)?.groupValues?.get(1) ?: error("no \"$name\" in $json")

    companion object {
        /** Starts the binary that KIEUMAU names; without it the test is skipped, and says so. */
        fun start(folder: Path): DemoServer {
            val binary = System.getenv("KIEUMAU")
            val skipped = "SKIPPED: KIEUMAU does not name the server's binary, so no real server was tried"
            if (binary.isNullOrEmpty()) System.err.println(skipped)
            assumeTrue(!binary.isNullOrEmpty(), skipped)
            return DemoServer(binary, folder)
        }
    }
}
